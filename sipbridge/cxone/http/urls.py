"""Which URLs that CXone names are used: what our credentials may be sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from sipbridge.config import is_loopback
from sipbridge.errors import CxoneError

# Where NICE serves CXone. Endpoints lie in other domains than their issuer: https://api-c57.nice-incontact.com of
# https://cxone.niceincontact.com.
_NICE_DOMAINS = ("niceincontact.com", "nice-incontact.com", "nicecxone.com", "nicecxone-gov.com")
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go: a host and a port, with TLS or without; `path` is what the URL has behind them."""

    host: str
    port: int
    tls: bool
    path: str

    @property
    def authority(self) -> str:
        """What the `Host` header has (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


@lru_cache(maxsize=1024)
def place_of(url: str) -> Place:
    """Take an http(s) URL apart. Raises `ValueError` for what is none, has a user, a fragment or odd characters."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("characters that belong in no URL")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or "@" in parts.netloc or parts.fragment or parts.port == 0:
        raise ValueError("no http(s) URL")
    if not _NAME.fullmatch(host):
        ip_address(host)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
    return Place(host, parts.port or _PORTS[parts.scheme], parts.scheme == "https", path)


def usable_url(url: object, what: str, *, issuer: str) -> str:
    """Check a URL that was given us, without its last slash: https, or http where no secret meets a stranger.

    Plain http is for loopback, and for an issuer that is plain http itself. Raises `CxoneError`.
    """
    try:
        place = place_of(url if isinstance(url, str) else "")
    except ValueError:
        raise CxoneError(f"{what} is no http(s) URL") from None
    if "?" in place.path:
        raise CxoneError(f"{what} has a query, and more is to come behind it")
    if not place.tls and not issuer.startswith("http://") and not is_loopback(place.host):
        raise CxoneError(f"{what} is plain http, and the issuer is not: secrets are not sent in the clear")
    return str(url).rstrip("/")


def url_of_cxone(url: object, what: str, *, issuer: str, instead: str) -> str:
    """Check a URL that CXone itself named, as `usable_url` does, and that it leads to CXone.

    That is the issuer's host or one below it, or a domain of NICE's: our access key, our token and what callers said go
    there, so an answer that somebody has tampered with must not send them to a stranger. `instead` is what to do where
    it is right all the same. Raises `CxoneError`.
    """
    usable = usable_url(url, what, issuer=issuer)
    host, trusted = place_of(usable).host, (place_of(issuer).host, *_NICE_DOMAINS)
    if not any(host == domain or host.endswith(f".{domain}") for domain in trusted):
        raise CxoneError(f"{what} leads to {host}, which is neither the issuer's nor NICE's: {instead}")
    return usable
