from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from sipbridge.simulators import echo_bot

from .peers import FakeBridge, Tab, opened, running_bot


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_bot, "RETRY_SECONDS", 0.01)


@pytest.fixture
async def bridge() -> FakeBridge:
    return FakeBridge()


@pytest.fixture
async def url(bridge: FakeBridge) -> AsyncIterator[str]:
    async with TestServer(bridge.app()) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def http(url: str) -> AsyncIterator[ClientSession]:
    async with running_bot(url) as session:
        yield session


@pytest.fixture
async def tab(http: ClientSession) -> AsyncIterator[Tab]:
    async with opened(http) as found:
        yield found
