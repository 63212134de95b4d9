"""The patterns of `allowed_routes`: the URIs that an agent may give as `route`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from sipbridge.telephony.sip_uri import is_unambiguous

# RFC 3966, 4; RFC 4694, 4; RFC 4904, 5: they select another number, carrier or trunk than the number does.
_REROUTING = re.compile(r";(phone-context|rn|cic|tgrp|trunk-context)(?![a-z0-9._-])")
# The host of a pattern, and the port and parameters after it.
_HOST = re.compile(r"(\[[^]]*\]?[^:;]*|[^:;]*)(.*)", re.DOTALL)
_DIGITS = re.compile(r"[0-9.]+\*")


def route_allowed(route: str, patterns: Iterable[str]) -> bool:
    """True if a URI matches one of the patterns. Case does not matter."""
    # The Kelvin sign, for one, is not ASCII, but its lower case is.
    if not route.isascii():
        return False
    route = route.lower()
    if not is_unambiguous(route):
        return False
    return any(_matches(pattern.lower(), route) for pattern in patterns)


def _matches(pattern: str, route: str) -> bool:
    """True if the pattern matches; both are in lower case. A star never matches a parameter that reroutes a number."""
    return _compiled(pattern).fullmatch(route) is not None and set(_REROUTING.findall(route)) <= set(
        _REROUTING.findall(pattern)
    )


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern. A star matches any text, but in a host only characters of the same kind as those beside it.

    After a host name it matches a port and parameters: else `sip:*@10.0.0.1*` would allow `sip:x@10.0.0.1.example.net`.
    Before a host name it matches names: else `sip:*@*.example.net` would allow `sip:x@example.org;y=.example.net`.
    After digits and dots it matches more of them.
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
    """Return the regular expression of a text. Atomic groups search once after each star: many stars take no longer."""
    first, *rest = (re.escape(part) for part in text.split("*"))
    if not rest:
        return first
    *inner, last = rest
    return first + "".join(f"(?>{meaning}?{part})" for part in inner) + meaning + last
