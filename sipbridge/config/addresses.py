"""Addresses to listen on, and their parts. No error text shows the value that it is about."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sipbridge.telephony.sip_uri import NO_IPV6

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?"
)


class ParsedText(str):
    """A text that was checked when it was read, with its parts as properties."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the text as this type. Raises `ValueError`."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 (pydantic's own signature)
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())


class ListenUrl(ParsedText):
    """`udp://HOST:PORT`, `tcp://…` or `tls://…`. Port 0 is any free port."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the text as this type. Raises `ValueError`."""
        right = "write udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT"
        parts = split_url(text, right)
        if parts.scheme not in ("udp", "tcp", "tls") or not _is_bare(parts) or parts.port is None:
            raise ValueError(f"is not a valid listen address; {right}")
        check_host(parts.hostname, right)
        check_ipv4(parts.hostname or "")
        return cls(text)

    @property
    def transport(self) -> str:
        """`udp`, `tcp` or `tls`."""
        return urlsplit(self).scheme

    @property
    def host(self) -> str:
        """The address or host name, without the brackets of an IPv6 address."""
        return urlsplit(self).hostname or ""

    @property
    def port(self) -> int:
        """The port. 0 is any free port."""
        return urlsplit(self).port or 0


class HostPort(ParsedText):
    """`HOST:PORT` of an HTTP listener. Port 0 is any free port."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the text as this type. Raises `ValueError`."""
        right = "write HOST:PORT, like 127.0.0.1:8080"
        parts = split_url(f"//{text}", right)
        if not _is_bare(parts) or parts.port is None:
            raise ValueError(f"is not a valid listen address; {right}")
        check_host(parts.hostname, right)
        return cls(text)

    @property
    def host(self) -> str:
        """The address or host name, without the brackets of an IPv6 address."""
        return urlsplit(f"//{self}").hostname or ""

    @property
    def port(self) -> int:
        """The port. 0 is any free port."""
        return urlsplit(f"//{self}").port or 0


def split_url(url: str, right: str) -> SplitResult:
    """Split a URL and check its port. Raises `ValueError` with a text that does not show the URL."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (reading it is the check of its range)
    except ValueError:
        raise ValueError(f"is not a valid URL, or its port is over 65535; {right}") from None
    return parts


def _is_bare(parts: SplitResult) -> bool:
    return not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)


def is_host(text: str) -> bool:
    """True if the text is an IP address or a host name."""
    # Digits and dots alone are a mistyped address, not a name.
    is_name = bool(_HOST_NAME.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)
    return is_name or is_address(text)


def is_address(host: str) -> bool:
    """True for an IP address, without the brackets of IPv6."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """True if a host name or an IP address is this machine's own; `::ffff:127.0.0.1` counts too (RFC 4291, 2.5.5.2)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_local(url: str) -> bool:
    """True if the host of a URL is this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def is_unencrypted_and_remote(url: str | None) -> bool:
    """True if requests to the URL travel unencrypted to another machine."""
    return url is not None and urlsplit(url).scheme in ("http", "ws") and not is_local(url)


def check_ipv4(host: str) -> None:
    """Raise `ValueError` for an IPv6 address, without its brackets."""
    if ":" in host:
        raise ValueError(NO_IPV6)


def authority(host: str, port: int) -> str:
    """Join host and port as in a URL: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_host(host: str | None, right: str) -> None:
    """Raise `ValueError` unless this is an address or a host name. `right` says what to write instead."""
    if not host or not is_host(host):
        raise ValueError(f"has no valid host; {right}")
