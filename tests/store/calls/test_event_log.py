"""The log of calls: each milestone once, with the step that is the first to show it; for each engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import timedelta

import pytest

from sipbridge.calls.events import CallAnswered, CallEnded, CallStarted, HandoffStarted
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.event_log import BEGINNING, LogEntry
from sipbridge.calls.ports.store import RecordStore
from sipbridge.handoffs.outcome import Outcome, Result
from tests.store.conftest import ENGINES, OpenStore
from tests.store.records import START, make_handoff, make_record

pytestmark = ENGINES

PROJECT = ("acme", "billing")
STARTED = make_record(state=CallState.RINGING)
ANSWERED = make_record(answered_at=START + timedelta(seconds=1))
HANDED_OFF = ANSWERED.changed(handoff=make_handoff(), state=CallState.HANDING_OFF)
ENDED = HANDED_OFF.changed(state=CallState.ENDED, ended_at=START + timedelta(seconds=60))

Reached = tuple[str, int, int]


async def entries_of(store: RecordStore, project: str = "billing") -> list[LogEntry]:
    return await store.events.entries("acme", project, first=BEGINNING, limit=1_000)


async def reached(store: RecordStore) -> list[Reached]:
    """Return the milestones in the log, in their order, without entries that have none."""
    return [(each.call_id, each.after, each.until) for each in await entries_of(store) if each.until > each.after]


class Follower:
    """A listener that notes the entries with milestones."""

    def __init__(self) -> None:
        self.seen: list[Reached] = []
        self._new = asyncio.Event()

    async def __call__(self, entries: Sequence[LogEntry]) -> None:
        self.seen += [(each.call_id, each.after, each.until) for each in entries if each.until > each.after]
        self._new.set()

    async def until(self, *seen: Reached) -> None:
        async with asyncio.timeout(30):
            while self.seen != list(seen):
                self._new.clear()
                await self._new.wait()


@pytest.fixture
async def follower(store: RecordStore) -> AsyncIterator[Follower]:
    follower = Follower()
    async with store.events.follow(*PROJECT, follower):
        yield follower


async def test_each_milestone_is_written_by_the_put_that_is_the_first_to_show_it(store: RecordStore) -> None:
    for record in (HANDED_OFF, HANDED_OFF, ENDED, ENDED):
        await store.put(record)
    assert await reached(store) == [("call-1", 0, 3), ("call-1", 3, 7)]


async def test_a_call_is_announced_before_it_has_a_record(store: RecordStore, follower: Follower) -> None:
    store.observe(CallStarted(STARTED))
    await follower.until(("call-1", 0, 1))
    assert await store.events.records(*PROJECT, ["call-1", "none"]) == {"call-1": STARTED}
    store.observe(CallAnswered(ANSWERED, 0.1))
    await follower.until(("call-1", 0, 1), ("call-1", 1, 2))
    store.observe(HandoffStarted(HANDED_OFF))  # its utterance is played before the record is put
    await follower.until(("call-1", 0, 1), ("call-1", 1, 2), ("call-1", 2, 3))
    assert await store.events.records(*PROJECT, ["call-1"]) == {"call-1": HANDED_OFF}
    await store.put(ENDED)
    await follower.until(("call-1", 0, 1), ("call-1", 1, 2), ("call-1", 2, 3), ("call-1", 3, 7))
    assert await store.events.records(*PROJECT, ["call-1"]) == {"call-1": ENDED}


async def test_an_announcement_that_comes_late_adds_nothing(store: RecordStore, follower: Follower) -> None:
    await store.put(HANDED_OFF)
    store.observe(CallStarted(STARTED))
    store.observe(CallStarted(make_record("call-2", state=CallState.RINGING)))
    await follower.until(("call-1", 0, 3), ("call-2", 0, 1))
    assert await reached(store) == follower.seen


async def test_a_call_is_not_announced_once_its_record_is_put(store: RecordStore, follower: Follower) -> None:
    store.observe(CallStarted(STARTED))
    store.observe(HandoffStarted(HANDED_OFF))
    store.put_later(HANDED_OFF)
    await follower.until(("call-1", 0, 3))
    store.observe(CallStarted(make_record("call-2", state=CallState.RINGING)))
    store.observe(CallEnded(STARTED.changed(call_id="call-2"), Outcome(Result.SUCCESS, "contained"), 1.0))
    await store.put(ENDED)
    await follower.until(("call-1", 0, 3), ("call-1", 3, 7))


async def test_a_restart_keeps_the_log_and_goes_on_in_it(reopen: OpenStore) -> None:
    store = await reopen()
    store.observe(CallStarted(STARTED))
    await store.close()
    store = await reopen()
    before = await entries_of(store)
    await store.put(ENDED)
    assert [(each.after, each.until) for each in await entries_of(store)] == [(0, 1), (1, 7)]
    assert (await entries_of(store))[0] == before[0]
    assert (await entries_of(store))[1].position > before[0].position


async def test_positions_rise_in_the_order_of_the_puts(store: RecordStore) -> None:
    for number in range(20):
        await store.put(make_record(f"call-{number}"), urgent=number % 2 == 0)
    entries = await entries_of(store)
    assert [each.call_id for each in entries] == [f"call-{number}" for number in range(20)]
    assert [each.position for each in entries] == sorted({each.position for each in entries})


async def test_entries_are_read_in_pages(store: RecordStore) -> None:
    for number in range(5):
        await store.put(make_record(f"call-{number}"))
    everything = await entries_of(store)
    pages = [await store.events.entries(*PROJECT, first=BEGINNING, limit=2)]
    while pages[-1]:
        pages.append(await store.events.entries(*PROJECT, first=pages[-1][-1].position.next, limit=2))
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [entry for page in pages for entry in page] == everything
    assert await store.events.entries(*PROJECT, first=everything[3].position, limit=9) == everything[3:]


async def test_each_project_has_a_log_of_its_own(store: RecordStore, follower: Follower) -> None:
    await store.put(make_record("theirs", project="sales"))
    await store.put(make_record("theirs-too", client="other"))
    await store.put(make_record("ours"))
    await follower.until(("ours", 0, 1))
    assert [each.call_id for each in await entries_of(store, "sales")] == ["theirs"]
    assert await reached(store) == [("ours", 0, 1)]
    assert await store.events.records("acme", "sales", ["ours"]) == {}


async def test_followers_get_what_is_added_while_they_follow(store: RecordStore) -> None:
    first, second = Follower(), Follower()
    await store.put(make_record("call-1"))
    async with store.events.follow(*PROJECT, first):
        await store.put(make_record("call-2"))
        await first.until(("call-2", 0, 1))
    await store.put(make_record("call-3"))
    async with store.events.follow(*PROJECT, second), store.events.follow("acme", "sales", first):
        await asyncio.gather(*(store.put(make_record(f"call-{number}")) for number in range(4, 300)))
        await second.until(*((f"call-{number}", 0, 1) for number in range(4, 300)))
    assert first.seen == [("call-2", 0, 1)]


async def test_an_erased_call_has_no_record_but_its_entry(store: RecordStore) -> None:
    await store.put(ENDED)
    assert await store.delete(*PROJECT, "call-1")
    assert await store.events.records(*PROJECT, ["call-1"]) == {}
    assert await reached(store) == [("call-1", 0, 7)]


async def test_records_of_many_calls_are_found(store: RecordStore) -> None:
    records: dict[str, CallRecord] = {f"call-{number}": make_record(f"call-{number}") for number in range(50)}
    puts: list[Awaitable[None]] = [store.put(record) for record in records.values()]
    await asyncio.gather(*puts)
    assert await store.events.records(*PROJECT, list(records)) == records
    assert await store.events.records(*PROJECT, []) == {}
