"""The URL of a Redis store: `redis://`, `rediss://` (TLS) or `redis+sentinel://`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from sipbridge.config.addresses import check_host, split_url

SCHEMES = ("redis", "rediss", "redis+sentinel")
RIGHT = (
    "write redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… for TLS, "
    "or redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DB]"
)
_PORT = 6379
_SENTINEL_PORT = 26379
_SENTINEL_KEYS = ("sentinel_user", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of Redis' access control lists; without a name it is the default user."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of the URL. `hosts` are those of the Sentinels if there is a `service`, the name that they monitor."""

    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    tls: bool = False
    service: str | None = None
    credentials: Credentials = Credentials()
    sentinel_credentials: Credentials = Credentials()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parts. Raises `ValueError` with a text that does not show the URL."""
        scheme, _, rest = text.partition("://")
        authority, path, query = _split(rest)
        login, _, hosts = authority.rpartition("@")
        by_sentinel = scheme == "redis+sentinel"
        pattern = r"/(?P<service>[^/\s]+)(/(?P<db>[0-9]{1,4}))?" if by_sentinel else r"(/(?P<db>[0-9]{1,4})?)?"
        found = re.fullmatch(pattern, path)
        if scheme not in SCHEMES or found is None or re.search(r"\s", text):
            raise ValueError(f"is not a valid Redis URL; {RIGHT}")
        parts = found.groupdict()
        addresses = tuple(_address(host, by_sentinel) for host in (hosts.split(",") if by_sentinel else [hosts]))
        return cls(
            addresses,
            int(parts["db"] or 0),
            scheme == "rediss",
            unquote(parts["service"]) if by_sentinel else None,
            _credentials(login),
            _sentinel_credentials(query, by_sentinel),
        )

    def __str__(self) -> str:
        """Return the URL without credentials."""
        scheme = "redis+sentinel" if self.service else "rediss" if self.tls else "redis"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = f"{self.service}/{self.database}" if self.service else str(self.database)
        return f"{scheme}://{hosts}/{path}"


def is_redis_url(text: str) -> bool:
    """True if the text is meant to be the URL of a Redis store."""
    return text.partition("://")[0] in SCHEMES


def _split(rest: str) -> tuple[str, str, str]:
    """Return authority, path and query. A slash in a password has to be percent-encoded, as RFC 3986 says."""
    if "#" in rest:
        raise ValueError(f"has a #, which a password has to give as %23; {RIGHT}")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    return authority, f"{slash}{path}", query


def _address(text: str, by_sentinel: bool) -> tuple[str, int]:  # noqa: FBT001 (private)
    split_url(f"//{text}", RIGHT)
    parts = urlsplit(f"//{text}")
    check_host(parts.hostname, RIGHT)
    return parts.hostname or "", parts.port or (_SENTINEL_PORT if by_sentinel else _PORT)


def _credentials(login: str) -> Credentials:
    if not login:
        return Credentials()
    user, colon, password = login.partition(":")
    if not colon or not password:
        raise ValueError(f"has a user without a password; {RIGHT}")
    return Credentials(unquote(user) or None, unquote(password))


def _sentinel_credentials(query: str, by_sentinel: bool) -> Credentials:  # noqa: FBT001 (private)
    given = dict(parse_qsl(query, keep_blank_values=True))
    if set(given) - set(_SENTINEL_KEYS if by_sentinel else ()):
        raise ValueError(
            "has an unknown parameter after ?; only redis+sentinel:// has any: sentinel_user, sentinel_password"
        )
    return Credentials(given.get("sentinel_user"), given.get("sentinel_password"))
