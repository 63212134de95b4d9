"""The folder that MkDocs reads: the pages, those generated from the code, and the source files that pages link to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from tests.docs.markdown import for_python_markdown, replace_links
from tests.docs.sources import source_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Pages outside of `docs/`, by their names in the site.
OTHERS = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}

# A link whose text is the name of its page: `[docs/agents.md](docs/agents.md#pipecat)`.
_FILE_AS_TEXT = re.compile(r"\[((?:docs/)?[\w-]+\.md)\]\(((?:\.\./)?\1[)#])")


class Staging:
    """The writer of the folder. A link to a page keeps its target; a link to a source file leads to a page with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: set[str] = set()

    def write(
        self, generated: Mapping[str, Callable[[], str]], see_also: Mapping[str, str], assets: Mapping[str, Path]
    ) -> None:
        """Write everything.

        `generated` makes pages by name, with links relative to `docs/`; `see_also` has the lines that begin pages, and
        `assets` the files that pages load.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, asset in assets.items():
            self._put(name, asset.read_text(encoding="utf-8"))
        for page in [*OTHERS, *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))]:
            self._write_page(page, see_also)
        for picture in DOCS.glob("*.png"):
            shutil.copy(picture, self._folder)
        for name, make in generated.items():
            self._put(name, self._linked(make(), "docs/index.md", "../" * name.count("/")))
        for path in sorted(self._sources):
            self._put(_source_name(path), source_page(ROOT, path))

    def _write_page(self, path: str, see_also: Mapping[str, str]) -> None:
        name = staged_name(path)
        text = (ROOT / path).read_text(encoding="utf-8")
        if name in see_also:
            heading, _, rest = text.partition("\n")
            text = f"{heading}\n\n{see_also[name]}\n{rest}"
        self._put(name, for_python_markdown(self._linked(text, path)))

    def _linked(self, text: str, page: str, up: str = "") -> str:
        """Return the text of a page with the links of the site. `up` leads from its folder to that of all pages."""
        named = _FILE_AS_TEXT.sub(lambda found: f"[{_title(found[1]) or found[1]}]({found[2]}", text)
        return replace_links(named, lambda target: self._target(page, target, up))

    def _target(self, page: str, target: str, up: str) -> str:
        """Return the target of a link for the site: relative to the staged page."""
        link, _, anchor = target.partition("#")
        if not link or "://" in link:
            return target
        path = os.path.normpath(os.path.join(os.path.dirname(page), link))  # noqa: PTH118, PTH120 (of a link, not of a file)
        name = staged_name(path)
        if not name:
            self._sources.add(path)
            name = _source_name(path)
        return f"{up}{name}#{anchor}" if anchor else f"{up}{name}"

    def _put(self, name: str, text: str) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@cache
def _title(page: str) -> str:
    """Return the heading of a page, by which the site calls it; empty for a page of the repository's root."""
    path = DOCS / page.removeprefix("docs/")
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") if path.exists() else ""


def _source_name(path: str) -> str:
    return f"source/{path.removeprefix('.')}.md"  # MkDocs leaves hidden folders out


def staged_name(path: str) -> str:
    """Return the name that a file of the repository has in the site; empty if it is not a page or a picture of it."""
    return OTHERS.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
