"""The page `/simulator/desk`, by which a person acts as a human agent. Its files are beside this module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent
_FILES = {
    "/simulator/desk": ("desk.html", "text/html"),
    "/simulator/desk/desk.css": ("desk.css", "text/css"),
    "/simulator/desk/desk.js": ("desk.js", "text/javascript"),
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    return [web.get(path, _serve(*file)) for path, file in _FILES.items()]


def _serve(name: str, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = (_FOLDER / name).read_text()

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=content, content_type=media_type, headers=_HEADERS)

    return handle
