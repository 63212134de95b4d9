"""Where an agent may send a caller by a `route` of its own: the project's `allowed_routes`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

# No brackets, blanks, quotes, commas or headers: nothing that could end the URI inside a header field.
_ROUTE = re.compile(
    r"(?:sips?|tel):[A-Za-z0-9+.*#_~!$&'()=%-]*(?::[0-9]*)?(?:@[A-Za-z0-9.:\[\]-]+)?(?:;[A-Za-z0-9=._;-]*)?"
)


def route_allowed(route: str, patterns: Iterable[str]) -> bool:
    """Whether a URI matches one of the patterns, in any case."""
    return _ROUTE.fullmatch(route) is not None and any(_compiled(p.lower()).match(route.lower()) for p in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A star matches anything, but one that follows a host's name only its port and parameters.

    `sip:*@10.0.0.1*` would else let in `sip:x@10.0.0.1.example.net`.
    """
    user, at, host = pattern.rpartition("@")
    if at and host.endswith("*") and not host.endswith((".*", ":*", ";*")) and host != "*":
        # translate() closes with \Z; the tail stands before it.
        return re.compile(translate(user + at + host[:-1])[: -len(r"\Z")] + r"(?:[:;].*)?\Z")
    return re.compile(translate(pattern))
