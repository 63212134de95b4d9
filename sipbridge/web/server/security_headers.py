"""Security headers, which every response has, errors included."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

NO_FRAMES = ("'none'",)
_SAME_FOR_ALL = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "sipbridge",
}


def add_security_headers(headers: MutableMapping[str, str], frame_ancestors: Iterable[str] = NO_FRAMES) -> None:
    """Forbid browsers to load content, to guess types, to cache and to send a referrer; hide the server's version.

    Pages of `frame_ancestors` may show the response in a frame (Content Security Policy Level 3, 6.4.2).
    """
    headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {' '.join(frame_ancestors)}"
    headers.update(_SAME_FOR_ALL)
