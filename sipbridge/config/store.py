"""`store`: the databases of records and of chats, and the journal of calls in progress. `node`: the bridge in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sipbridge.config.fields import BASE, Hours, HttpUrl, Identifier, PathUnderBase, Seconds, Section, check_line
from sipbridge.config.redis_url import RedisUrl, is_redis_url

_SQLITE_PREFIX = "sqlite:///"
_CHATS = ".chats"
_JOURNAL = ".journal"


class NodeConfig(Section):
    """`node`: this bridge among those that share a store. A store in Redis needs the id.

    Other nodes reach it under `internal_url`; None is the address of `http.listen`.
    """

    id: Identifier | None = None
    internal_url: HttpUrl | None = None
    lease_seconds: Annotated[Seconds, Field(ge=1)] = 15.0


class StoreConfig(Section):
    """`store`: the databases of records and of chats. A relative SQLite path is absolute in `url`.

    `journal` is the file of the calls in progress, which a start after a crash reads. It is on this machine also if
    the records are in Redis. None puts it beside the SQLite file or the configuration.
    """

    url: Annotated[str, Field(validate_default=True, repr=False)] = "sqlite:///sipbridge.db"
    journal: Annotated[PathUnderBase | None, Field(validate_default=True)] = None
    retention_hours: Hours = 24

    @field_validator("url")
    @classmethod
    def _known_kind(cls, value: str, info: ValidationInfo) -> str:
        check_line(value)
        if is_redis_url(value):
            RedisUrl.parse(value)
            return value
        path = value.removeprefix(_SQLITE_PREFIX)
        if not path or path == value or "?" in path:
            raise ValueError("is not a valid store; write sqlite:///PATH or redis://HOST:PORT/DB")
        if path == ":memory:":
            raise ValueError("would lose its records when the process ends; write sqlite:///PATH")
        base: Path | None = (info.context or {}).get(BASE)
        return f"{_SQLITE_PREFIX}{base / path}" if base else value

    @field_validator("journal")
    @classmethod
    def _a_file_of_its_own(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        # The journal replaces its file again and again: the records would be gone.
        url = info.data.get("url", "")
        if value is None and is_redis_url(url):
            base: Path | None = (info.context or {}).get(BASE)
            return (base or Path()) / f"sipbridge{_JOURNAL}"
        taken = _database_files(url)
        if value is not None and os.path.realpath(value) in map(os.path.realpath, taken):
            raise ValueError("is a file of the database in store.url; name another, or remove the key")
        return value

    @property
    def journal_path(self) -> Path:
        """The journal's file."""
        return self.journal or Path(f"{self.url.removeprefix(_SQLITE_PREFIX)}{_JOURNAL}")

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None if the store is not SQLite."""
        return Path(self.url.removeprefix(_SQLITE_PREFIX)) if self.url.startswith(_SQLITE_PREFIX) else None

    @property
    def chats_path(self) -> Path | None:
        """The database file of the chats; None if the store is not SQLite."""
        path = self.sqlite_path
        return Path(f"{path}{_CHATS}") if path else None

    @property
    def database_files(self) -> tuple[Path, ...]:
        """The database files of calls and chats, and those that SQLite and the bridge's locks keep beside them.

        There are none if the store is Redis.
        """
        return () if is_redis_url(self.url) else _database_files(self.url)


def _database_files(url: str) -> tuple[Path, ...]:
    database = url.removeprefix(_SQLITE_PREFIX)
    suffixes = ("", "-wal", "-shm", "-journal", ".lock")
    return tuple(Path(f"{database}{which}{suffix}") for which in ("", _CHATS) for suffix in suffixes)
