"""Erased records are removed from query results, from the file and from the backlog."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.store import RecordStore
from sipbridge.errors import StoreError
from sipbridge.handoffs.record import Turn
from sipbridge.store.calls import writer
from sipbridge.store.calls.store import SqliteStore
from sipbridge.store.sqlite import database, retention
from tests.store.conftest import OpenStore
from tests.store.records import START, make_handoff, make_record

SECRET = "the password is swordfish"


def secret_record(call_id: str = "call-1") -> CallRecord:
    turns = tuple(Turn(role="caller", text=f"{n}: {SECRET} " * 40, at=START) for n in range(20))
    return make_record(call_id, transcript=turns, handoff=make_handoff(data={"said": SECRET}))


def bytes_in(path: Path) -> bytes:
    """Return the contents of all files of the database."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob("calls.db*")))


async def until_false(probe: Callable[[], bool]) -> None:
    """Wait until the probe returns False."""
    async with asyncio.timeout(10):
        while probe():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


async def fill(store: RecordStore) -> None:
    """Put records around those that are erased, so that they share pages; each twice, as a call does."""
    for n in range(20):
        await asyncio.gather(
            store.put(make_record(f"a-{n}")),
            *(store.put(secret_record(f"call-{n}")) for _ in range(2)),
        )


async def test_erased_text_is_not_in_the_files(path: Path, store: RecordStore) -> None:
    await fill(store)
    assert SECRET.encode() in bytes_in(path)
    for n in range(20):
        assert await store.delete("acme", "billing", f"call-{n}")
    assert SECRET.encode() not in bytes_in(path)
    assert len(await store.list_calls("acme", "billing", limit=100)) == 20


async def test_text_erased_by_shared_id_is_not_in_the_files(path: Path, store: RecordStore) -> None:
    await fill(store)
    assert await store.delete_shared("acme", "billing", "contact-1") == 40
    assert SECRET.encode() not in bytes_in(path)
    assert await store.delete_shared("acme", "billing", "contact-1") == 0


async def test_a_reader_in_another_process_delays_the_erasure_and_no_put(
    path: Path, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.02)
    await fill(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM calls").fetchone()
        async with asyncio.timeout(1):
            assert await store.delete_shared("acme", "billing", "contact-1") == 40
            await store.put(make_record("after"))
        other.execute("COMMIT")
    await until_false(lambda: SECRET.encode() in bytes_in(path))


async def test_a_pending_put_does_not_restore_an_erased_record(path: Path, store: RecordStore) -> None:
    await store.put(make_record())
    on_its_way = [asyncio.create_task(store.put(secret_record(), urgent=urgent)) for urgent in (False, True)]
    await asyncio.sleep(0)
    assert await store.delete("acme", "billing", "call-1")
    await asyncio.gather(*on_its_way)
    assert await store.get("acme", "billing", "call-1") is None
    assert SECRET.encode() not in bytes_in(path)


async def test_an_older_version_with_another_shared_id_is_erased_too(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.1)
    await store.put(make_record())
    moved = asyncio.create_task(store.put(make_record(handoff=make_handoff(shared_id="crm-7"))))
    await asyncio.sleep(0)
    assert await store.delete_shared("acme", "billing", "crm-7") == 1
    await moved
    assert await store.get("acme", "billing", "call-1") is None


async def test_an_erasure_fails_if_the_file_cannot_be_written(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    store = await reopen()
    await store.put(make_record())
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await store.delete("acme", "billing", "call-1")
    assert await store.get("acme", "billing", "call-1")


async def test_records_that_are_too_old_are_erased_from_the_files(path: Path) -> None:
    store = SqliteStore(path, retention=timedelta(seconds=1))
    await store.put(secret_record())
    assert SECRET.encode() in bytes_in(path)
    await until_false(lambda: SECRET.encode() in bytes_in(path))
    assert await store.get("acme", "billing", "call-1") is None
    await store.close()


async def test_a_corrupt_file_that_was_moved_aside_is_deleted_with_age(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PURGE_SECONDS", 0.02)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.02)
    old, young = (path.with_name(f"calls.db.corrupt-{name}") for name in ("20260101T000000.0Z", "20260102T000000.0Z"))
    for file in (old, young):
        file.touch()
    long_ago = old.stat().st_mtime - 25 * 3600
    os.utime(old, (long_ago, long_ago))
    await reopen()
    await until_false(old.exists)
    assert young.exists()


@pytest.mark.parametrize("years", [1, -1])
async def test_a_clock_changed_by_a_year_erases_nothing(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    monkeypatch.setattr(retention, "PURGE_SECONDS", 0.02)
    monkeypatch.setattr(retention, "MIN_PURGE_SECONDS", 0.02)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.02)
    right = time.time
    store = await reopen()
    await store.put(make_record("before"))
    monkeypatch.setattr("sipbridge.store.sqlite.clock.time.time", lambda: right() + years * 365 * 24 * 3600)
    await store.put(make_record("meanwhile"))
    await asyncio.sleep(0.2)
    monkeypatch.setattr("sipbridge.store.sqlite.clock.time.time", right)
    await store.put(make_record("after"))
    await asyncio.sleep(0.2)
    names = {record.call_id for record in await store.list_calls("acme", "billing", limit=10)}
    assert names == {"before", "meanwhile", "after"}

    def is_kept_longer() -> bool:
        with closing(sqlite3.connect(path)) as reader:
            newest: int = reader.execute("SELECT max(updated_at) FROM calls").fetchone()[0]
        return newest > right() * 1e6

    await until_false(is_kept_longer)
