"""Where an agent may send a caller by a `route` of its own: the project's `allowed_routes`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

# No brackets, blanks, quotes, commas or headers: nothing that could end the URI inside a header field.
_ROUTE = re.compile(r"(?:sips?|tel):[a-z0-9+.*#_~!$&'()=%-]*(?::[0-9]*)?(?:@[a-z0-9.:\[\]-]+)?(?:;[a-z0-9=._;-]*)?")
# RFC 3261, 19.1.1: it takes the host's place.
_MADDR = ";maddr"


def route_allowed(route: str, patterns: Iterable[str]) -> bool:
    """Whether a URI matches one of the patterns, in any case."""
    route = route.lower()
    if _ROUTE.fullmatch(route) is None or _MADDR in route:
        return False
    return any(_compiled(pattern.lower()).fullmatch(route) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A star matches anything, but in a host only what is of one kind with what stands there.

    `sip:*@10.0.0.1*` would else let in `sip:x@10.0.0.1.example.net`: a star that follows a host's name stands for its
    port and parameters. `sip:*@*.example.net` would let in `sip:x@example.org;y=.example.net`: a star before it stands
    for names. After digits and dots it stands for more of them.
    """
    user, at, host = pattern.rpartition("@")
    if not at:
        return re.compile(_star(host, ".*"))
    tail = ""
    if host.endswith("*") and host != "*" and not host.endswith((".*", ":*", ";*")):
        host, tail = host[:-1], "(?:[:;].*)?"
    digits = re.fullmatch(r"[0-9.]+\*", host)
    return re.compile(
        _star(user, "[^@;]*")
        + "@"
        + _star(host, "[0-9.]*" if digits else "[a-z0-9.:;=_-]*" if ";" in host or ":" in host else "[a-z0-9.-]*")
        + tail
    )


def _star(text: str, meaning: str) -> str:
    return re.escape(text).replace(r"\*", meaning)
