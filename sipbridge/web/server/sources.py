"""The source that a request or a connection counts against."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def source_of(address: str | None) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address, all of which one machine may have (RFC 6177).

    An IPv4 address that came over an IPv6 socket counts as IPv4 (RFC 4291, 2.5.5.2). Return "" for no IP address.
    """
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if not isinstance(found, ipaddress.IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found) >> 64 << 64))
