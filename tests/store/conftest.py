from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.store import open_store
from sipbridge.store.redis import call_writer, calls, chat_writer, checks, server
from sipbridge.store.sqlite import database
from sipbridge.store.sqlite.schema import Schema, connect_writer
from tests.harness.programs.redis import RedisServer

# A parameter for tests of what every engine has to do.
ENGINES = pytest.mark.parametrize("engine", ["sqlite", "redis"])

OpenStore = Callable[[], Awaitable[RecordStore]]


@dataclass
class Writer:
    """The store's write connection and the statements that it has run."""

    connection: sqlite3.Connection | None = None
    statements: list[str] = field(default_factory=list)

    def run(self, statement: str) -> None:
        assert self.connection
        self.connection.execute(statement)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    seen = Writer()

    def connect(path: Path, schema: Schema, *, busy_seconds: float) -> sqlite3.Connection:
        seen.connection = connect_writer(path, schema, busy_seconds=busy_seconds)
        seen.connection.set_trace_callback(seen.statements.append)
        return seen.connection

    monkeypatch.setattr(database, "connect_writer", connect)
    return seen


@pytest.fixture
def engine() -> str:
    """The engine of the store. Tests of the contract replace it, and run with each."""
    return "sqlite"


def patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store wait for a Redis that is slow because the machine is busy."""
    for module, names in (
        (calls, ("PUT_SECONDS",)),
        (server, ("READ_SECONDS",)),
        (call_writer, ("WRITE_SECONDS",)),
        (chat_writer, ("WRITE_SECONDS",)),
        (checks, ("START_SECONDS",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 30.0)


@pytest.fixture
def url(engine: str, path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if engine == "sqlite":
        return f"sqlite:///{path}"
    patient_redis(monkeypatch)
    redis: RedisServer = request.getfixturevalue("redis")
    return redis.url


@pytest.fixture
async def reopen(url: str) -> AsyncIterator[OpenStore]:
    opened: list[RecordStore] = []

    async def open_it() -> RecordStore:
        opened.append(await open_store(StoreConfig(url=url, retention_hours=24)))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: OpenStore) -> RecordStore:
    return await reopen()
