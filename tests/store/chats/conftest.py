from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatStore
from sipbridge.config import StoreConfig
from sipbridge.store import open_chat_store
from tests.harness.programs.redis import RedisServer
from tests.store.conftest import patient_redis

OpenChats = Callable[[], Awaitable[ChatStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db.chats"


@pytest.fixture
def url(engine: str, path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if engine == "sqlite":
        return f"sqlite:///{path.with_suffix('')}"
    patient_redis(monkeypatch)
    redis: RedisServer = request.getfixturevalue("redis")
    return redis.url


@pytest.fixture
async def reopen(url: str) -> AsyncIterator[OpenChats]:
    opened: list[ChatStore] = []

    async def open_it() -> ChatStore:
        opened.append(await open_chat_store(StoreConfig(url=url, retention_hours=24), lambda: "node-1"))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: OpenChats) -> ChatStore:
    return await reopen()
