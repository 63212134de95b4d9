from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sipbridge.calls.ports.store import RecordStore
from sipbridge.errors import StoreError
from sipbridge.store.calls import writer as writer_module
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.sqlite import retention
from tests.store.conftest import OpenStore, Writer
from tests.store.records import make_handoff, make_record


async def test_a_record_put_for_later_is_found_at_once_and_written_without_another(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 60.0)
    store = await reopen()
    record = make_record(handoff=make_handoff())
    store.put_later(record)
    assert store.waiting == 1
    assert await store.get("acme", "billing", "call-1") == record
    assert await store.get_shared("acme", "billing", "contact-1") == record
    async with asyncio.timeout(10):
        while store.waiting:  # noqa: ASYNC110 (the store sends no notification)
            await asyncio.sleep(0.01)
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT call_id FROM calls").fetchall() == [("call-1",)]


async def test_pending_puts_are_committed_together(writer: Writer, store: RecordStore) -> None:
    before = writer.statements.count("COMMIT")
    await asyncio.gather(*(store.put(make_record(f"call-{n}")) for n in range(1000)))
    assert 1 <= writer.statements.count("COMMIT") - before <= 20
    assert len(await store.list_calls("acme", "billing", limit=2000)) == 1000


async def test_commits_sync_the_disk(writer: Writer, store: RecordStore) -> None:
    await store.put(make_record())
    assert writer.connection
    assert writer.connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


async def test_a_body_written_by_another_program_is_an_error_that_does_not_quote_it(
    path: Path, store: RecordStore
) -> None:
    await store.put(make_record())
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE calls SET body = '{"caller": "+15550001"}'""")
    connection.close()
    with pytest.raises(StoreError, match="record not valid") as caught:
        await store.get("acme", "billing", "call-1")
    assert "5550001" not in str(caught.value)


PUT_AND_LINGER = """
import asyncio, sys
from pathlib import Path
from datetime import timedelta
from sipbridge.calls.model import CallRecord
from sipbridge.store.calls.store import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]), retention=timedelta(days=1))
    await store.put(CallRecord.model_validate_json(sys.argv[2]))
    print("stored", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_record_survives_a_killed_process(path: Path, reopen: OpenStore) -> None:
    record = make_record(handoff=make_handoff())
    arguments = [sys.executable, "-c", PUT_AND_LINGER, str(path), record.model_dump_json()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603, ASYNC220 (this test's own program, and nothing else runs meanwhile)
        assert child.stdout
        assert child.stdout.readline() == "stored\n"
        os.kill(child.pid, signal.SIGKILL)
    assert await (await reopen()).get("acme", "billing", "call-1") == record


async def age(path: Path, store: RecordStore, hours: dict[str, float]) -> None:
    """Put a record per name and set the age of its last put in hours."""
    for call_id, old in hours.items():
        await store.put(make_record(call_id))
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE calls SET updated_at = updated_at - ? WHERE call_id = ?", (old * 3.6e9, call_id))
        connection.close()


async def test_old_records_are_erased_at_the_start(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PURGE_ROWS", 2)
    first = await reopen()
    await age(path, first, {"a": 25, "b": 25, "c": 25, "d": 25, "e": 25, "fresh": 23})
    await first.close()
    assert await names_when_purged(await reopen()) == {"fresh"}


async def test_the_first_purge_waits_if_all_records_are_old(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await reopen()
    await age(path, first, {"a": 25, "b": 26})
    await first.close()
    # The first record of the new process is put before the writer's first round.
    is_put = threading.Event()
    next_batch = Backlog.next_batch
    with monkeypatch.context() as patched:
        patched.setattr(Backlog, "next_batch", lambda backlog: is_put.wait(5) and next_batch(backlog))
        second = await reopen()
        asyncio.get_running_loop().call_soon(is_put.set)
        await second.put(make_record("new"))
    await second.delete("acme", "billing", "none")  # in the second round
    assert len(await second.list_calls("acme", "billing", limit=10)) == 3
    await second.close()
    monkeypatch.setattr(retention, "PURGE_SECONDS", 0.02)
    assert await names_when_purged(await reopen()) == {"new"}


async def test_old_records_are_erased_while_the_store_is_open(
    path: Path, reopen: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PURGE_SECONDS", 0.02)
    store = await reopen()
    await age(path, store, {"old": 25, "fresh": 23})
    assert await names_when_purged(store) == {"fresh"}


async def names_when_purged(store: RecordStore) -> set[str]:
    """Wait until one record is left, and return its name."""
    while len(found := await store.list_calls("acme", "billing", limit=10)) > 1:  # noqa: ASYNC110 (a purge sends no notification)
        await asyncio.sleep(0.01)
    return {record.call_id for record in found}
