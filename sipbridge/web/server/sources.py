"""Whom a request or a connection counts for: the address that it comes from."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def source_of(text: str | None) -> str:
    """Return an address, of IPv6 its /64, all of which one machine may have (RFC 6177)."""
    address = read_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address or "")


def is_loopback(text: str | None) -> bool:
    """True if it is an address of this machine's own."""
    address = read_address(text)
    return address is not None and address.is_loopback


def read_address(text: str | None) -> Address | None:
    """Read an address; one of IPv4 that came over an IPv6 socket is one of IPv4 (RFC 4291, 2.5.5.2)."""
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
