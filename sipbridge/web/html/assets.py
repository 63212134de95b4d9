"""The files that pages load. Their names have a digest of their content, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOREVER = "public, max-age=31536000, immutable"
MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
_SHARED = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that a page loads."""

    name: str
    media_type: str
    content: bytes

    def response(self) -> web.Response:
        """Return the file as a response."""
        return web.Response(body=self.content, content_type=self.media_type, charset="utf-8")


def load_assets(folder: Path) -> dict[str, Asset]:
    """Return the files of a page by their names: those in its folder, and the icon of all pages.

    A style sheet begins with the one that all pages share, so that a page loads one.
    """
    shared = (_SHARED / "shared.css").read_bytes()
    files = [*sorted(folder.iterdir()), _SHARED / "icon.svg"]
    contents = ((path, path.read_bytes()) for path in files)
    found = [
        make_asset(path.stem, path.suffix, shared + content if path.suffix == ".css" else content)
        for path, content in contents
    ]
    return {each.name: each for each in found}


def make_asset(stem: str, suffix: str, content: bytes) -> Asset:
    """Make a file of a page from its name without the digest, and its content."""
    digest = hashlib.blake2b(content, digest_size=6).hexdigest()
    return Asset(f"{stem}-{digest}{suffix}", MEDIA_TYPES[suffix], content)


def by_plain_name(names: Iterable[str]) -> Mapping[str, str]:
    """Return names with the digest by those without, for templates."""
    return {each.partition("-")[0] + Path(each).suffix: each for each in names}
