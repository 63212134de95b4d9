"""Records while the file fails: none is lost as long as the process runs."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from sipbridge.calls.model import CallState
from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import StoreError
from sipbridge.handoffs.record import Turn
from sipbridge.store import open_store
from sipbridge.store.calls import backlog, writer
from sipbridge.store.calls.schema import SCHEMA
from sipbridge.store.sqlite import database, read_threads
from sipbridge.store.sqlite.schema import connect_writer
from tests.store.conftest import OpenStore, Writer
from tests.store.records import START, Settled, make_handoff, make_record

PAGE = 4096


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(writer, "CLOSE_SECONDS", 0.2)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database locked, as another process with an open transaction would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        yield


async def names_in(path: Path, *expected: str) -> None:
    """Wait until the file has exactly these calls, in the order of their puts."""
    async with asyncio.timeout(30):
        while _names(path) != list(expected):  # noqa: ASYNC110 (a retry sends no notification)
            await asyncio.sleep(0.01)


def _names(path: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            return [name for (name,) in reader.execute("SELECT call_id FROM calls ORDER BY rowid")]
    except sqlite3.Error:
        return []


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until the log has this text."""
    async with asyncio.timeout(30):
        while words not in caplog.text:  # noqa: ASYNC110 (the log sends no notification)
            await asyncio.sleep(0.01)


async def put_fails(store: RecordStore, call_id: str, **changes: object) -> None:
    with pytest.raises(StoreError, match="could not be written"):
        await store.put(make_record(call_id, **changes))


async def put_until_stored(store: RecordStore, call_id: str) -> None:
    """Put a record, with retries until the store accepts it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(StoreError):
                await store.put(make_record(call_id))
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def failing(store: RecordStore, path: Path) -> AsyncIterator[None]:
    """Keep the file locked, after the store has found out."""
    with locked(path):
        await put_fails(store, "finds out")
        yield


async def test_puts_to_a_locked_file_are_written_later_in_order(path: Path, store: RecordStore) -> None:
    await store.put(make_record("before"))
    async with failing(store, path):
        await put_fails(store, "b")
        await put_fails(store, "a")
        assert _names(path) == ["before"]
    await names_in(path, "before", "finds out", "b", "a")
    await put_until_stored(store, "after")
    assert _names(path)[-1] == "after"


async def test_no_put_waits_while_the_file_fails(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1.0)
    store = await reopen()
    async with failing(store, path), asyncio.timeout(0.5):
        for n in range(100):
            await put_fails(store, f"call-{n}")


async def test_pending_records_are_found(path: Path, store: RecordStore) -> None:
    await store.put(make_record("old", handoff=make_handoff()))
    async with failing(store, path):
        ended = make_record("new", state=CallState.ENDED, started_at=START.replace(hour=13), handoff=make_handoff())
        await put_fails(store, "new", started_at=ended.started_at)
        with pytest.raises(StoreError):
            await store.put(ended)
        await put_fails(store, "old", handoff=make_handoff(shared_id="crm-7"))
        assert await store.get("acme", "billing", "new") == ended
        assert await store.get("other", "billing", "new") is None
        assert await store.get_shared("acme", "billing", "contact-1") == ended
        moved = await store.get_shared("acme", "billing", "crm-7")
        assert moved
        assert moved.call_id == "old"
        names = [record.call_id for record in await store.list_calls("acme", "billing", limit=10)]
        assert names[0] == "new"
        assert sorted(names) == ["finds out", "new", "old"]
        assert await store.list_calls("acme", "billing", limit=10, before=START) == []
        assert await store.list_calls("acme", "sales", limit=10) == []


async def test_a_full_disk_loses_nothing(path: Path, writer: Writer, store: RecordStore) -> None:
    await store.put(make_record("before"))
    writer.run("PRAGMA max_page_count = 1")  # SQLite raises the limit to the pages in use
    with pytest.raises(StoreError, match="full"):
        await store.put(make_record("much", transcript=(Turn(role="agent", text="x" * 16_000),)))
    writer.run("PRAGMA max_page_count = 1000000")
    await names_in(path, "before", "much")


async def test_a_full_backlog_drops_the_oldest_record_and_logs_it(
    path: Path, store: RecordStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backlog, "MAX_RECORDS", 3)
    async with failing(store, path):
        for name in ("a", "b", "c", "d"):
            await put_fails(store, name)
    async with asyncio.timeout(30):
        # A record that was dropped during a retry may have been written all the same.
        while _names(path)[-3:] != ["b", "c", "d"]:  # noqa: ASYNC110 (a retry sends no notification)
            await asyncio.sleep(0.01)
    await logged(caplog, "records lost: 2")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "too many unwritten records in memory: dropping the oldest"
    ]


async def test_closing_retries_and_logs_what_is_lost(
    path: Path, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with failing(store, path), asyncio.timeout(30):
        await store.close()
    assert _names(path) == []
    assert (
        "records unwritten when the store closed: 1 (the store could not be written: database is locked)" in caplog.text
    )


async def test_closing_writes_pending_records_once_the_file_recovers(path: Path, store: RecordStore) -> None:
    async with failing(store, path):
        closing_store = asyncio.create_task(store.close())
        await asyncio.sleep(0.05)
    await closing_store
    assert _names(path) == ["finds out"]


def damage(path: Path) -> None:
    """Overwrite a page in the middle of the file."""
    overwrite(path, path.stat().st_size // PAGE // 2 * PAGE, b"\xde\xad\xbe\xef" * (PAGE // 4))


def checkpoint(path: Path) -> None:
    """Checkpoint the write-ahead log into the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


OVERWRITE = """
import os, sys
os.pwrite(os.open(sys.argv[1], os.O_WRONLY), bytes.fromhex(sys.argv[3]), int(sys.argv[2]))
"""


def overwrite(path: Path, place: int, data: bytes) -> None:
    """Write into a file from another process: closing it in this one would release SQLite's locks."""
    subprocess.run([sys.executable, "-c", OVERWRITE, path, str(place), data.hex()], check=True)  # noqa: S603 (this test's own program)


def corrupt_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("calls.db.corrupt-*"))


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@contextmanager
def moved_away(folder: Path) -> Iterator[None]:
    moved = folder.with_name("moved")
    folder.rename(moved)
    yield
    moved.rename(folder)


async def fill(store: RecordStore) -> set[str]:
    names = [f"call-{n:03}" for n in range(300)]
    await asyncio.gather(*(store.put(make_record(name)) for name in names))
    return set(names)


async def test_a_file_corrupted_while_in_use_is_moved_aside_and_its_intact_rows_copied(
    path: Path, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    before = await fill(store)
    checkpoint(path)
    damage(path)
    with pytest.raises(StoreError, match="malformed"):
        await store.list_calls("acme", "billing", limit=1000)
    async with asyncio.timeout(30):
        while not corrupt_files(path):  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
    await put_until_stored(store, "after")
    await logged(caplog, "copied into the new database")
    found = {record.call_id for record in await store.list_calls("acme", "billing", limit=1000)}
    assert found <= {*before, "after"}
    assert "after" in found
    assert len(found) > 250
    assert [r.levelname for r in caplog.records if "database corrupt; moved aside" in r.getMessage()] == ["ERROR"]


async def test_a_corrupt_file_is_moved_aside_at_the_start(
    path: Path, reopen: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = await reopen()
    before = await fill(first)
    await first.close()
    cut_in_half(path)
    second = await reopen()
    await put_until_stored(second, "after")
    await logged(caplog, "copied into the new database")
    found = {record.call_id for record in await second.list_calls("acme", "billing", limit=1000)}
    assert "after" in found
    assert found <= {*before, "after"}
    assert "database corrupt; moved aside" in caplog.text


async def test_a_file_overwritten_with_something_else_while_in_use_is_moved_aside(
    path: Path, store: RecordStore
) -> None:
    await store.put(make_record("before"))
    checkpoint(path)
    overwrite(path, 0, b"no database, by any means".ljust(PAGE))
    await put_until_stored(store, "after")
    await put_until_stored(store, "later")
    assert {"after", "later"} <= set(_names(path))
    assert corrupt_files(path)[0].read_bytes().startswith(b"no database")


async def all_names(store: RecordStore, expected: set[str]) -> set[str]:
    """Wait until the store has the expected calls, or for a while, and return its calls."""
    names: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while len(names) < len(expected):
                await asyncio.sleep(0.01)
                names = {record.call_id for record in await store.list_calls("acme", "billing", limit=1000)}
    return names


REMOVALS = {
    "the file": ["calls.db"],
    "all of it": ["calls.db", "calls.db-wal", "calls.db-shm"],
    "its log": ["calls.db-wal"],
}


@pytest.mark.parametrize("names", REMOVALS.values(), ids=REMOVALS)
async def test_a_file_deleted_while_in_use_is_recreated_with_all_its_records(
    path: Path, reopen: OpenStore, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = await reopen()
    await store.put(make_record("before"))
    assert await store.get("acme", "billing", "before")  # so that a reader has the file open too
    for name in names:
        path.with_name(name).unlink()
    await store.put(make_record("after"))
    assert await all_names(store, {"before", "after"}) == {"before", "after"}
    assert "deleted or replaced while in use" in caplog.text
    await store.put(make_record("later"))
    await store.close()
    assert set(_names(path)) == {"before", "after", "later"}


async def test_a_file_deleted_while_idle_is_detected(path: Path, store: RecordStore) -> None:
    await store.put(make_record("before"))
    os.unlink(path)  # noqa: PTH108 (ruff takes Path's method for a blocking call)
    await names_in(path, "before")


async def test_a_file_that_replaces_ours_is_used_and_gets_our_records(
    path: Path, store: RecordStore, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    with closing(connect_writer(other, SCHEMA, busy_seconds=1)):
        pass
    await store.put(make_record("before"))
    other.rename(path)
    await store.put(make_record("after"))
    assert await all_names(store, {"before", "after"}) == {"before", "after"}
    await names_in(path, "after", "before")


async def test_a_temporarily_missing_folder_loses_nothing(
    path: Path,
    tmp_path: Path,
    reopen: OpenStore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_threads, "READERS", 1)  # so that the same thread reads before and after
    store = await reopen()
    await store.put(make_record("before"))
    assert await store.get("acme", "billing", "before")
    with moved_away(tmp_path):
        await put_fails(store, "meanwhile")
        assert await store.get("acme", "billing", "before"), "the reader has the file still"
        assert await store.get("acme", "billing", "meanwhile")
        await asyncio.sleep(0.1)
    await names_in(path, "before", "meanwhile")
    assert caplog.text.count("deleted or replaced") == 1


async def test_a_call_is_notified_when_its_failed_put_is_written_or_erased(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.store.calls.settling.SETTLED_DELAY_SECONDS", 0)
    settled = Settled()
    store = await open_store(StoreConfig(url=f"sqlite:///{path}"), on_settled=settled)
    await store.put(make_record("in time", state=CallState.ENDED))
    async with failing(store, path):
        await put_fails(store, "late", state=CallState.ENDED)
    await names_in(path, "in time", "finds out", "late")
    await store.delete("acme", "billing", "in time")
    async with asyncio.timeout(30):
        while len(settled.stands) < 2:  # noqa: ASYNC110 (a list sends no notification)
            await asyncio.sleep(0.01)
    assert settled.stands == {"late": True, "in time": False}
    await store.close()


async def test_a_call_is_notified_if_its_put_is_cancelled_while_it_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.store.calls.settling.SETTLED_DELAY_SECONDS", 0)
    settled = Settled()
    store = await open_store(StoreConfig(url=f"sqlite:///{path}"), on_settled=settled)
    putting = asyncio.ensure_future(store.put(make_record("late", state=CallState.ENDED)))
    await asyncio.sleep(0)
    _block_loop_until_written(store)
    putting.cancel()
    await asyncio.wait([putting])
    async with asyncio.timeout(10):
        while settled.stands != {"late": True}:  # noqa: ASYNC110 (a list sends no notification)
            await asyncio.sleep(0.01)
    await store.close()


def _block_loop_until_written(store: RecordStore) -> None:
    deadline = time.monotonic() + 10
    while store.waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # so that the writer can notify the loop
