"""The links of the built site: `python -m tests.docs.site_links FOLDER` reports those without a target.

MkDocs checks the links of the pages, and this the HTML: navigation, anchors, pictures, and that no page loads anything
from the network. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


@dataclass
class _Page(HTMLParser):
    """The ids of a page, and what it links to: the URL, and True if the browser loads it with the page."""

    ids: set[str] = field(default_factory=set)
    links: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in ("href", "src") and value is not None and ("rel", "canonical") not in attrs:
                self.links.append((value, (tag, name) in _LOADED))


def broken_links(site: Path) -> Iterator[str]:
    """Yield a line for each link without a target, and for each file from the network."""
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        # The page for unknown addresses links from the root of a server.
        for link, loaded in page.links if path.name != "404.html" else ():
            if problem := _problem(link, path, pages, loaded=loaded):
                yield f"{path.relative_to(site.resolve())}: {link}: {problem}"


def _problem(link: str, path: Path, pages: dict[Path, _Page], *, loaded: bool) -> str:
    parts = urlsplit(link)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "is loaded from the network" if loaded else ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return "no such file"
    anchor = unquote(parts.fragment)
    return "no such anchor" if anchor and target in pages and anchor not in pages[target].ids else ""


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def main() -> None:
    """Run the command line. The exit code is 1 if a link is broken."""
    site = Path(sys.argv[1])
    found = list(broken_links(site))
    count = len(list(site.rglob("*.html")))
    sys.stdout.write("".join(f"{line}\n" for line in found) or f"{site}: {count} pages, all links have a target\n")
    sys.exit(1 if found or not count else 0)


if __name__ == "__main__":
    main()
