from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import pytest

from sipbridge.calls.events import (
    CallAnswered,
    CallEnded,
    CallStarted,
    DrainChanged,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    InviteAnswered,
)
from sipbridge.config import ApiKey
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.web import EventFeed
from sipbridge.web.api import events
from sipbridge.web.server.event_feed import MAX_QUEUED_EVENTS, MAX_READERS_PER_PROJECT, Notice
from sipbridge.web.server.readers import Reader
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import KEY

OK = Outcome(Result.SUCCESS, "handed_off")


@asynccontextmanager
async def listening(bridge: Bridge) -> AsyncIterator[aiohttp.ClientResponse]:
    async with bridge.session.get(bridge.url("events"), headers={"x-api-key": KEY}) as response:
        assert response.status == 200
        yield response


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, Any]:
    """Read one event, up to its blank line."""
    lines = []
    while line := (await response.content.readline()).decode().strip():
        lines.append(line)
    fields = dict(line.split(": ", 1) for line in lines)
    return fields["event"], json.loads(fields["data"])


async def test_events_of_calls_and_handoffs_arrive_in_order(bridge: Bridge) -> None:
    record = make_record(handoff=make_handoff(), caller="+15550002")
    async with listening(bridge) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        for event in (
            CallStarted(record),
            InviteAnswered(200, "answered", "x", "127.0.0.1", "call-1"),
            CallAnswered(record, 0.1),
            HandoffStarted(record),
            HandoffStage(record, "signal", 0.1, OK),
            HandoffFinished(record, "release", OK, 1.0),
            DrainChanged(draining=True),
            CallEnded(record, OK, 2.0),
        ):
            bridge.events(event)
        events = [await next_event(response) for _ in range(5)]
    assert [name for name, _ in events] == [
        "call.started",
        "call.answered",
        "handoff.started",
        "handoff.finished",
        "call.ended",
    ]
    assert events[0][1]["caller_number"] == "+15550002"
    assert events[0][1]["handoff"]["state"] == "handoff_initiated"
    assert "data" not in events[0][1]["handoff"]


async def test_another_projects_events_are_not_sent(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        bridge.events(CallStarted(make_record("theirs", project="sales")))
        bridge.events(CallStarted(make_record("theirs too", client="other")))
        bridge.events(CallStarted(make_record("ours")))
        _, call = await next_event(response)
    assert call["id"] == "ours"


async def test_a_quiet_stream_is_kept_alive(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.01)
    async with listening(bridge) as response:
        assert await response.content.readline() == b": ping\r\n"


async def test_a_reader_that_is_too_slow_is_disconnected(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with listening(bridge) as response:
        for n in range(MAX_QUEUED_EVENTS + 1):
            bridge.events(CallStarted(make_record(f"call-{n}")))
        assert await response.content.read() == b"", "the stream ends"
    assert "too slow" in caplog.text


async def test_readers_that_keep_up_stay_connected(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        for n in range(3 * MAX_QUEUED_EVENTS):
            bridge.events(CallStarted(make_record(f"call-{n}")))
            _, call = await next_event(response)
            assert call["id"] == f"call-{n}"


async def test_a_reader_that_disconnects_is_removed(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    disconnected = asyncio.Event()
    enter = EventFeed.reader

    @contextmanager
    def watched(feed: EventFeed, client: str, project: str) -> Iterator[Reader[Notice]]:
        with enter(feed, client, project) as reader:
            try:
                yield reader
            finally:
                disconnected.set()

    monkeypatch.setattr(EventFeed, "reader", watched)
    async with listening(bridge):
        pass
    await disconnected.wait()


async def test_stopping_ends_the_streams(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        bridge.events.close()
        assert await response.content.read() == b""
    async with listening(bridge) as response:
        assert await response.content.read() == b"", "nor does a new one stay"


async def test_a_stream_ends_when_its_key_is_revoked(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        bridge.events(CallStarted(make_record("before")))
        _, call = await next_event(response)
        project = bridge.config.clients["acme"].voice_projects["billing"]
        project.__dict__["api_keys"] = (ApiKey("another-key-0123456789"),)
        bridge.events(CallStarted(make_record("after")))
        assert await response.content.read() == b""
    assert call["id"] == "before"


async def test_one_reader_too_many_disconnects_the_oldest() -> None:
    feed = EventFeed()
    readers = [feed.reader("acme", "billing") for _ in range(MAX_READERS_PER_PROJECT + 1)]
    entered = [reader.__enter__() for reader in readers]
    feed(CallStarted(make_record()))
    assert [notice async for notice in entered[0]] == []
    assert (await anext(aiter(entered[1]))).name == "call.started"
    for reader in readers:
        reader.__exit__(None, None, None)
