"""The log of calls in SQLite: its length, and what happens to it while the file cannot be written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from sipbridge.calls.events import CallAnswered, CallStarted
from sipbridge.calls.model import CallState
from sipbridge.calls.ports.store import RecordStore
from sipbridge.errors import StoreError
from sipbridge.store.calls import announcer, log_writer, writer
from tests.store.calls.test_event_log import (
    ANSWERED,
    ENDED,
    HANDED_OFF,
    PROJECT,
    STARTED,
    Follower,
    entries_of,
    reached,
)
from tests.store.conftest import OpenStore
from tests.store.records import START, make_record


@pytest.fixture
async def follower(store: RecordStore) -> AsyncIterator[Follower]:
    follower = Follower()
    async with store.events.follow(*PROJECT, follower):
        yield follower


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log be short."""
    monkeypatch.setattr(log_writer, "EVENTS_KEPT", 5)
    monkeypatch.setattr(log_writer, "TRIM_EVERY", 2)


@pytest.mark.usefixtures("short")
async def test_the_oldest_entries_are_dropped(store: RecordStore) -> None:
    for number in range(20):
        await store.put(make_record(f"call-{number}", state=CallState.ENDED, ended_at=START))
    kept = [each.call_id for each in await entries_of(store)]
    assert 5 <= len(kept) <= 7
    assert kept == [f"call-{number}" for number in range(20)][-len(kept) :]


@pytest.mark.usefixtures("short")
async def test_a_long_call_repeats_nothing_although_its_entries_were_dropped(
    store: RecordStore, follower: Follower
) -> None:
    store.observe(CallStarted(STARTED))
    await follower.until(("call-1", 0, 1))
    store.observe(CallAnswered(ANSWERED, 0.1))
    await follower.until(("call-1", 0, 1), ("call-1", 1, 2))
    for number in range(10):
        await store.put(make_record(f"other-{number}", state=CallState.ENDED, ended_at=START))
    assert "call-1" not in {each.call_id for each in await entries_of(store)}
    await store.put(HANDED_OFF)
    await store.put(ENDED)
    assert (await reached(store))[-2:] == [("call-1", 2, 3), ("call-1", 3, 7)]


async def test_what_is_announced_while_the_file_is_locked_is_written_later(
    store: RecordStore, follower: Follower, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.01)
    await store.put(make_record("before"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.observe(CallStarted(STARTED))
        with pytest.raises(StoreError, match="locked"):
            await store.put(make_record("put", project="sales"))
        assert follower.seen == [("before", 0, 1)]
        other.execute("ROLLBACK")
    await follower.until(("before", 0, 1), ("call-1", 0, 1))


async def test_a_clock_that_was_set_back_does_not_reorder_the_log(
    reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await reopen()
    await store.put(make_record("call-1"))
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    await store.put(make_record("call-2"))
    await store.close()
    store = await reopen()
    await store.put(make_record("call-3"))
    entries = await entries_of(store)
    assert [each.call_id for each in entries] == ["call-1", "call-2", "call-3"]
    assert entries[2].position > entries[1].position > entries[0].position


async def test_a_file_of_release_0_1_0_gets_the_log(reopen: OpenStore, path: Path) -> None:
    store = await reopen()
    await store.put(HANDED_OFF)
    await store.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DROP TABLE call_events")
    store = await reopen()
    assert await entries_of(store) == []
    await store.put(ENDED)
    assert await reached(store) == [("call-1", 0, 7)]
