"""Security headers, which every response has, errors included."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

NOTHING = "default-src 'none'; frame-ancestors 'none'"
NO_STORE = "no-store"
SERVER = "sipbridge"
_SAME_FOR_ALL = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": SERVER,
}


def page_policy(frame_ancestors: Iterable[str]) -> str:
    """Return the policy of a page: it loads files of this service only, and `frame_ancestors` may show it in a frame.

    Content Security Policy Level 3, 6.1 and 6.4.2. No script or style in the page itself is run.
    """
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors {' '.join(frame_ancestors)}"
    )


def add_security_headers(headers: MutableMapping[str, str], policy: str = NOTHING, cache: str = NO_STORE) -> None:
    """Forbid browsers to load content, to guess types, to cache and to send a referrer; hide the server's version."""
    headers["Content-Security-Policy"] = policy
    headers["Cache-Control"] = cache
    headers.update(_SAME_FOR_ALL)
