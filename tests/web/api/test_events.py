from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from sipbridge.calls.events import CallAnswered, CallStarted, DrainChanged, HandoffStage, HandoffStarted, InviteAnswered
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.event_log import Listener, LogEntry, Position
from sipbridge.config import ApiKey
from sipbridge.errors import StoreError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.web import EventFeed, EventLog, make_app, start_web
from sipbridge.web.api import events
from sipbridge.web.server.event_feed import MAX_QUEUED_EVENTS, MAX_READERS_PER_PROJECT, Notice
from sipbridge.web.server.readers import Reader
from tests.store.records import START, make_handoff, make_record
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
    ringing = make_record(state=CallState.RINGING, caller="+15550002")
    talking = ringing.changed(state=CallState.TALKING, answered_at=START)
    handing_off = talking.changed(state=CallState.HANDING_OFF, handoff=make_handoff())
    finished = make_handoff(state=HandoffState.COMPLETED, finished_at=START)
    ended = handing_off.changed(state=CallState.ENDED, ended_at=START, handoff=finished)
    async with listening(bridge) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        for event in (
            CallStarted(ringing),
            InviteAnswered(200, "answered", "x", "127.0.0.1", "call-1"),
            CallAnswered(talking, 0.1),
            HandoffStarted(handing_off),
            HandoffStage(handing_off, "signal", 0.1, OK),
            DrainChanged(draining=True),
        ):
            bridge.store.observe(event)
        events = [await next_event(response) for _ in range(3)]
        await bridge.store.put(handing_off)
        await bridge.store.put(ended)
        events += [await next_event(response) for _ in range(2)]
    assert [(name, call["state"]) for name, call in events] == [
        ("call.started", "ringing"),
        ("call.answered", "talking"),
        ("handoff.started", "handing_off"),
        ("handoff.finished", "handing_off"),
        ("call.ended", "ended"),
    ]
    assert events[0][1]["caller_number"] == "+15550002"
    assert [call["handoff"]["state"] for _, call in events[2:4]] == ["handoff_initiated", "handoff_completed"]
    assert "data" not in events[2][1]["handoff"]


async def test_another_projects_events_are_not_sent(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        bridge.report(CallStarted(make_record("theirs", project="sales")))
        bridge.report(CallStarted(make_record("theirs too", client="other")))
        bridge.report(CallStarted(make_record("ours")))
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
            bridge.report(CallStarted(make_record(f"call-{n}")))
        assert await response.content.read() == b"", "the stream ends"
    assert "too slow" in caplog.text


async def test_readers_that_keep_up_stay_connected(bridge: Bridge) -> None:
    async with listening(bridge) as response:
        for n in range(3 * MAX_QUEUED_EVENTS):
            bridge.report(CallStarted(make_record(f"call-{n}")))
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
        bridge.report(CallStarted(make_record("before")))
        _, call = await next_event(response)
        project = bridge.config.clients["acme"].voice_projects["billing"]
        project.__dict__["api_keys"] = (ApiKey("another-key-0123456789"),)
        bridge.report(CallStarted(make_record("after")))
        assert await response.content.read() == b""
    assert call["id"] == "before"


async def test_one_reader_too_many_disconnects_the_oldest() -> None:
    feed = EventFeed()
    readers = [feed.reader("acme", "billing") for _ in range(MAX_READERS_PER_PROJECT + 1)]
    entered = [reader.__enter__() for reader in readers]
    feed.send("acme", "billing", Notice("call.started", "{}"))  # type: ignore[arg-type]
    assert [notice async for notice in entered[0]] == []
    assert (await anext(aiter(entered[1]))).name == "call.started"
    for reader in readers:
        reader.__exit__(None, None, None)


class FakeCallLog:
    """A `CallLog` of a project that has had three calls; its store may be away. Followers get the newest two again."""

    def __init__(self) -> None:
        self.away = False
        self.calls = [1, 2, 3]

    async def entries(self, client: str, project: str, *, first: Position, limit: int) -> list[LogEntry]:
        assert (client, project) == ("acme", "billing")
        entries = [LogEntry(Position(n, 0), f"call-{n}", 0, 1) for n in self.calls]
        return [entry for entry in entries if entry.position >= first][:limit]

    async def records(self, client: str, project: str, call_ids: Collection[str]) -> dict[str, CallRecord]:
        return {each: make_record(each, client=client, project=project) for each in call_ids}

    @asynccontextmanager
    async def follow(self, client: str, project: str, listener: Listener) -> AsyncIterator[None]:
        if self.away:
            raise StoreError("away")
        known = await self.entries(client, project, first=Position(2, 0), limit=100)
        await listener([*known, LogEntry(Position(10, 0), "call-10", 0, 1)])  # the last one after the log was read
        yield


@pytest.fixture
async def log(bridge: Bridge) -> AsyncIterator[FakeCallLog]:
    """The log of the bridge, instead of that of its store."""
    log, deps = FakeCallLog(), bridge.deps()
    event_log = EventLog(log, deps.chats.store, deps.events, deps.chats.feed, deps.pages)
    runner, (host, port) = await start_web(make_app(replace(deps, event_log=event_log)), "127.0.0.1", 0)
    bridge.base = f"http://{host}:{port}"
    yield log
    await runner.cleanup()


async def resumed(bridge: Bridge, after: str, count: int) -> list[str]:
    """Return the ids of the first events of a stream that is resumed; the name if an event has no id."""
    found: list[str] = []
    headers = {"x-api-key": KEY} | ({"Last-Event-ID": after} if after else {})
    async with bridge.session.get(bridge.url("events"), headers=headers) as response:
        assert response.status == 200
        while len(found) < count:
            lines = (await response.content.readuntil(b"\r\n\r\n")).decode().strip().splitlines()
            fields = dict(line.split(": ", 1) for line in lines)
            found.append(fields.get("id", fields["event"]))
    return found


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("", ["2-0-1", "3-0-1"]),
        ("1-0-1", ["2-0-1", "3-0-1"]),
        ("2-0-1", ["3-0-1"]),
        ("0-7-1", ["stream.gap", "1-0-1", "2-0-1", "3-0-1"]),
        ("2-0-0", ["2-0-1", "3-0-1"]),
        ("9999999999999-0-1", ["stream.gap", "2-0-1", "3-0-1"]),
    ],
    ids=["no id", "kept", "kept and followed", "dropped", "within an entry", "of another store, with later times"],
)
async def test_a_reader_resumes_and_gets_each_event_once(
    bridge: Bridge, log: FakeCallLog, after: str, expected: list[str]
) -> None:
    assert log.calls
    assert await resumed(bridge, after, len(expected) + 1) == [*expected, "10-0-1"]


async def test_a_gap_has_no_data(bridge: Bridge, log: FakeCallLog) -> None:
    assert log.calls
    headers = {"x-api-key": KEY, "Last-Event-ID": "0-0-1"}
    async with bridge.session.get(bridge.url("events"), headers=headers) as response:
        assert await next_event(response) == ("stream.gap", None)


@pytest.mark.parametrize("after", ["x", "1-0", "1-0-1-1", "-1-0-1", "9" * 30, "\u0661-0-1", "1-0-1,2-0-1"])
async def test_an_id_of_another_stream_gets_400(bridge: Bridge, after: str) -> None:
    headers = {"x-api-key": KEY, "Last-Event-ID": after}
    async with bridge.session.get(bridge.url("events"), headers=headers) as response:
        assert response.status == 400
        assert "Last-Event-ID" in (await response.json())["error_message"]


async def test_a_reader_gets_503_if_the_log_is_away(bridge: Bridge, log: FakeCallLog) -> None:
    log.away = True
    async with bridge.session.get(bridge.url("events"), headers={"x-api-key": KEY}) as response:
        assert (response.status, "Retry-After" in response.headers) == (503, True)
