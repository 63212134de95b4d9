"""Where an agent may send a caller by a `route` of its own: the project's `allowed_routes`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

# What every parser reads alike. No brackets, blanks, quotes, commas or headers, which could end the URI inside a header
# field; no password; of all escapes the one that a telephone has a key for, since others hide an @ or a line break.
_PARAMETERS = r"(?:;[a-z0-9._-]+(?:=[a-z0-9._-]+)?)*"
_ROUTE = re.compile(
    r"sips?:(?:(?:[a-z0-9+.*_~!$&'()=-]|%23)+@)?(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
    + _PARAMETERS
    + r"|tel:[0-9+.()*-]+"
    + _PARAMETERS
)
# RFC 3261, 19.1.1: another address than the host, another request than an INVITE, a multicast.
_STEERING = re.compile(r";(?:maddr|method|ttl)(?![a-z0-9._-])")
# RFC 3966, 4; RFC 4694, 4; RFC 4904, 5: another number, carrier or trunk than the number says.
_REROUTING = re.compile(r";(phone-context|rn|cic|tgrp|trunk-context)(?![a-z0-9._-])")
# Of a pattern: a host, and what stands behind it: a port, parameters.
_HOST = re.compile(r"(\[[^]]*\]?[^:;]*|[^:;]*)(.*)", re.DOTALL)
_DIGITS = re.compile(r"[0-9.]+\*")


def route_allowed(route: str, patterns: Iterable[str]) -> bool:
    """Whether a URI matches one of the patterns, in any case."""
    # The Kelvin sign is no ASCII, and its lower case is.
    if not route.isascii():
        return False
    route = route.lower()
    if _ROUTE.fullmatch(route) is None or _STEERING.search(route):
        return False
    return any(_matches(pattern.lower(), route) for pattern in patterns)


def _matches(pattern: str, route: str) -> bool:
    """Whether it matches, both in lower case. What reroutes a number a star does not stand for."""
    return _compiled(pattern).fullmatch(route) is not None and set(_REROUTING.findall(route)) <= set(
        _REROUTING.findall(pattern)
    )


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A star matches anything, but in a host only what is of one kind with what stands there.

    `sip:*@10.0.0.1*` would else let in `sip:x@10.0.0.1.example.net`: a star that follows a host's name stands for its
    port and parameters. `sip:*@*.example.net` would let in `sip:x@example.org;y=.example.net`: a star before it stands
    for names. After digits and dots it stands for more of them.
    """
    user, at, address = pattern.rpartition("@")
    if not at:
        return re.compile(_star(address, ".*"))
    host, behind = _HOST.fullmatch(address).groups()  # type: ignore[union-attr]  # it matches any text
    tail = ""
    if host.endswith("*") and host != "*" and not host.endswith(".*"):
        host, tail = host[:-1], "(?:[:;].*)?"
    meaning = "[0-9a-f:.]*" if "[" in host else "[0-9.]*" if _DIGITS.fullmatch(host) else "[a-z0-9.-]*"
    return re.compile(_star(user, "[^@;]*") + "@" + _star(host, meaning) + tail + _star(behind, "[a-z0-9.:;=_-]*"))


def _star(text: str, meaning: str) -> str:
    """Write a text as a pattern; what follows a star is looked for once, so that many stars take no longer."""
    first, *rest = (re.escape(part) for part in text.split("*"))
    if not rest:
        return first
    *inner, last = rest
    return first + "".join(f"(?>{meaning}?{part})" for part in inner) + meaning + last
