"""The parameters of a SIP URI (RFC 3261, 19.1.1): its transport, and SRTP by a parameter of our own."""

from __future__ import annotations

import re
from typing import Literal

from sipbridge.config.addresses import NO_IPV6

SrtpUse = Literal["disabled", "optional", "mandatory"]

_WISHES: dict[str, SrtpUse] = {"optional": "optional", "mandatory": "mandatory"}
_IPV6 = re.compile(r"(?:^|^sips?:|;maddr=)\[", re.IGNORECASE)  # an address in brackets, as the host or instead of it
_HOST = re.compile(r"(?:sips?:)?([^:;]*)(?::([0-9]+))?(.*)", re.IGNORECASE | re.DOTALL)
_SRTP = re.compile(r";srtp(?:=([^;]*))?(?=;|$)", re.IGNORECASE)


def sip_transport(uri: str) -> str | None:
    """Return the transport that a SIP URI names, in lower case; None if it names none."""
    if uri.lower().startswith("sips:"):
        return "tls"
    found = re.search(r";transport=([^;]+)", _split(uri)[1].lower())
    return found[1] if found else None


def split_srtp(uri: str) -> tuple[str, SrtpUse]:
    """Split `;srtp` off a SIP URI: return the URI as others may see it, and the use of SRTP; `;srtp` is `mandatory`.

    Raises `ValueError` for another value, or for two of them.
    """
    user, address, headers = _split(uri)
    found = list(_SRTP.finditer(address))
    if not found:
        return uri, "disabled"
    wish = found[0][1]
    use = _WISHES.get("mandatory" if wish is None else wish.lower())
    if use is None or len(found) > 1:
        raise ValueError("has no valid srtp parameter; write ;srtp=mandatory or ;srtp=optional, once")
    return user + _SRTP.sub("", address) + headers, use


def with_srtp(uri: str, use: SrtpUse) -> str:
    """Add a use of SRTP to a SIP URI without one."""
    if use == "disabled":
        return uri
    address, mark, headers = uri.partition("?")
    return f"{address};srtp={use}{mark}{headers}"


def check_called(uri: str) -> SrtpUse:
    """Return the use of SRTP in a call of ours to this URI.

    Raises `ValueError` for a URI that we cannot call: an IPv6 address, or an invalid `srtp` parameter.
    """
    if _IPV6.search(_split(uri)[1]):
        raise ValueError(NO_IPV6)
    return split_srtp(uri)[1]


def user_of(uri: str) -> str:
    """Return the user part of a SIP URI, still escaped and without the password, or the number of a tel URI.

    The user part keeps the parameters of a number (`+1555;npdi`). It is empty if there is none.
    """
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "tel":
        return rest.partition(";")[0]
    user, at, _host = rest.partition("@")
    return user.partition(":")[0] if at else ""


def with_transport(uri: str, transport: str | None) -> str:
    """Add a transport to a SIP URI that names none (RFC 3261, 19.1.1)."""
    if transport is None or sip_transport(uri) is not None:
        return uri
    address, mark, headers = uri.partition("?")
    return f"{address};transport={transport}{mark}{headers}"


def hop_of(uri: str) -> tuple[str, int, str]:
    """Return the next hop of requests to a SIP URI: host, port (0 if none is named) and transport ("" if none)."""
    found = _HOST.fullmatch(_split(uri)[1])
    if found is None:
        return "", 0, ""
    host, port, parameters = found.groups()
    maddr = re.search(r";maddr=([^;]+)", parameters, re.IGNORECASE)  # instead of the host (RFC 3261, 19.1.1)
    return maddr[1] if maddr else host, int(port or 0), sip_transport(uri) or ""


def same_host(uri: str, other: str) -> bool:
    """True if two SIP URIs name the same host, on any port."""
    return hop_of(uri)[0].lower().rstrip(".") == hop_of(other)[0].lower().rstrip(".")


def _split(uri: str) -> tuple[str, str, str]:
    """Split into user part, host with parameters, and headers, including separators."""
    before, mark, headers = uri.partition("?")
    user, at, address = before.rpartition("@")
    return user + at, address, mark + headers
