"""The garbage collector runs seldom, and audio waits while it does: an ended stream must leave nothing for it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp_sse import EventSourceResponse

from tests.harness.waiting import wait_for
from tests.web import chats as of_chats
from tests.web.chats import ChatBridge, chat_bridge
from tests.web.conftest import Bridge
from tests.web.fakes import KEY
from tests.web.screen_pop import samples


@pytest.fixture
async def chats(tmp_path: Path) -> AsyncIterator[ChatBridge]:
    async with chat_bridge(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def read_and_leave(session: aiohttp.ClientSession, url: str, key: str = KEY) -> None:
    """Read the begin of a stream and disconnect, as a browser does whose page is closed; wait until it is freed."""
    async with session.get(url, headers={"x-api-key": key}) as response:
        assert response.status == 200
        assert await response.content.readany()
        assert streams()
    await asyncio.to_thread(wait_for, lambda: not streams(), "the stream to be freed")


def streams() -> int:
    return sum(isinstance(each, EventSourceResponse) for each in gc.get_objects())


async def test_the_stream_of_a_page_that_is_closed_is_freed(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    path = bridge.pop_links.make(record).removeprefix(bridge.config.http.public_url)
    await read_and_leave(bridge.session, f"{bridge.base}{path}/events")


async def test_the_stream_of_calls_that_is_left_is_freed(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.web.api.events.PING_SECONDS", 0.01)  # something to read
    await read_and_leave(bridge.session, bridge.url("events"))


async def test_the_stream_of_a_chat_that_is_left_is_freed(chats: ChatBridge) -> None:
    assert (await chats.start("c1"))[0] == 202
    await read_and_leave(chats.session, chats.url("chats/c1/events"), of_chats.KEY)
