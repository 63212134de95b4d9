"""A fault in an event stream that has begun: the connection is closed, and no second response is in the stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sipbridge.chats.model import ChatEvent, ChatEventType
from sipbridge.web import Notice
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


async def read_to_the_end(bridge: Bridge, url: str, key: str = KEY) -> bytes:
    """Return all that a stream sends until its connection is closed."""
    host, _, port = bridge.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = url.removeprefix(bridge.base)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.transport.abort()


def check(bridge: Bridge, received: bytes, route: str, operation: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check that a stream was cut off, and that its fault was logged once."""
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.count(b"HTTP/1.1") == 1
    assert not received.endswith(b"\r\n0\r\n\r\n"), "a stream that was cut off does not look complete"
    [line] = [record.__dict__ for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line["event"], line["route"].rpartition("/")[2]) == ("internal_error", route)
    assert [each for each in bridge.counted if each[0] == operation] == [(operation, 200)]


async def test_the_stream_of_calls_is_cut_off_by_a_fault(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    reading = asyncio.create_task(read_to_the_end(bridge, bridge.url("events")))
    await asyncio.to_thread(wait_for, lambda: bridge.events.has_readers("acme", "billing"), "a reader")
    name: Any = "a name\nof two lines"
    bridge.events.send("acme", "billing", Notice(name, "null"))
    check(bridge, await reading, "events", "stream_events", caplog)


async def test_the_stream_of_a_chat_is_cut_off_by_a_fault(chats: ChatBridge, caplog: pytest.LogCaptureFixture) -> None:
    assert (await chats.start("c1"))[0] == 202
    record, feed = await chats.world.record(), chats.deps().chats.feed
    reading = asyncio.create_task(read_to_the_end(chats, chats.url("chats/c1/events"), of_chats.KEY))
    await chats.world.event("handoff_accepted")
    await asyncio.to_thread(wait_for, lambda: record.uid in feed, "a reader")
    odd = record.event(9, ChatEventType.AGENT_MESSAGE, {"text": "half \ud83d"})
    feed.send(record.uid, ChatEvent.model_validate(odd.model_dump() | {"sequence": None}))
    check(chats, await reading, "events", "stream_chat_events", caplog)


async def test_the_stream_of_a_page_is_cut_off_by_a_fault(
    bridge: Bridge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("a fault")

    monkeypatch.setattr("sipbridge.web.api.pop_events.update_of", fail)
    record = samples.call()
    bridge.directory.add(record)
    path = bridge.pop_links.make(record).removeprefix(bridge.config.http.public_url)
    check(bridge, await read_to_the_end(bridge, f"{path}/events"), "events", "stream_pop_events", caplog)
