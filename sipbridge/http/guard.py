"""The addresses and URLs that are safe to call if someone else than the operator names them.

A request that a stranger aims at an address of our own network reaches services that trust it: admin pages, the
metadata of a cloud machine (169.254.169.254). This is server-side request forgery (CWE-918). The check belongs to the
address that is connected to: a name may resolve to another one a moment after it was looked up (DNS rebinding).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from sipbridge.config import is_loopback
from sipbridge.errors import HttpForbidden
from sipbridge.http.urls import target_of

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, section 2.4, as assigned by IANA
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, section 2.1: the last 32 bits are an IPv4 address


def is_public(address: str) -> bool:
    """True if a numeric address is on the public Internet.

    Private, shared, loopback, link-local, multicast, reserved and unspecified addresses are not. An IPv6 address that
    carries an IPv4 address is as public as that one.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_ipv4(parsed)
    inner = _embedded_ipv4(parsed)
    if inner is not None:
        return _is_public_ipv4(inner)
    return parsed in _GLOBAL_UNICAST and parsed.is_global


def check_encrypted(url: str) -> None:
    """Raise `HttpForbidden` unless a URL is valid, and https if it is not for this machine."""
    try:
        target = target_of(url)
    except ValueError as error:
        raise HttpForbidden(f"the URL is not valid: {error}") from None
    if not target.tls and not is_loopback(target.host):
        raise HttpForbidden(f"the URL for {target.host} is plain http; use https")


def _is_public_ipv4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this one reach, if there is one."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
