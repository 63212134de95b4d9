"""The parts of an http(s) URL that a request needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Target:
    """The target of requests: host, port and TLS, and the `path` with the query of the URL."""

    host: str
    port: int
    tls: bool
    path: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Split an http(s) URL. Raises `ValueError` if it is not valid or has a user or a fragment."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("characters that a URL must not contain")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or "@" in parts.netloc or parts.fragment or parts.port == 0:
        raise ValueError("not an http(s) URL")
    if not _NAME.fullmatch(host):
        ip_address(host)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
    return Target(host, parts.port or _PORTS[parts.scheme], parts.scheme == "https", path)
