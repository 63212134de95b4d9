"""The store of one node: a SQLite file, one thread that writes it and two that read it.

Pending puts are committed together, so that many calls that end at once need one disk sync. While the file cannot be
written, records wait in memory and are found there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.errors import StoreError
from sipbridge.store.calls import rows
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.calls.reader import Reader
from sipbridge.store.calls.rescue import CallRescue
from sipbridge.store.calls.schema import SCHEMA
from sipbridge.store.calls.writer import Writer
from sipbridge.store.sqlite.bodies import END_OF_TIME, microseconds
from sipbridge.store.sqlite.database import open_database
from sipbridge.store.sqlite.retention import Retention

LAZY_SECONDS = 0.1
# A call whose put failed first does what it does without a store, and then learns what became of its record.
SETTLED_DELAY_SECONDS = 1.0


class SqliteStore:
    """A `RecordStore` in a file. Raises `StartupError` if the file cannot be used or is in use by another process.

    Belongs to one event loop. Rows whose last put is older than `retention` are deleted at the start and hourly.
    `on_settled` gets the call id of each ended call whose record was erased, or was written after its put had failed.
    """

    def __init__(self, path: Path, *, retention: timedelta, on_settled: Callable[[str], None] | None = None) -> None:
        database, self._lock = open_database(path, SCHEMA, CallRescue)
        self._retention = Retention(retention, rows.AGES)
        self._backlog = Backlog()
        self._on_settled = notify_on_loop(on_settled)
        self._writer = Writer(database, self._backlog, self._retention, self._on_settled)
        self._reader = Reader(database, self._backlog, self._writer.suspect)
        self._wake_scheduled = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Number of records that are not written yet."""
        return len(self._backlog)

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, which replaces an older one of the same call. It is durable on return.

        A put that is not urgent is committed with the next urgent one or after `LAZY_SECONDS`, since a commit wakes a
        thread and the disk and costs more than the row. If this raises `StoreError` because the file cannot be written,
        the record waits in memory.
        """
        self._check_open()
        row = rows.to_row(record, self._retention.clock.latest())
        failure = self._writer.failure
        if failure is not None:
            self._backlog.add(row)
            raise StoreError(failure)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backlog.add(row, done)
        if urgent:
            self._writer.wake()
        else:
            self._wake_later()
        try:
            await done
        except (asyncio.CancelledError, StoreError):
            # The writer may have written it before it learned that this put gives up.
            if (
                record.state is CallState.ENDED
                and not self._backlog.dropped
                and self._backlog.row_of(row.call_id) is not row
            ):
                self._on_settled([row.call_id])
            raise

    async def put_later(self, record: CallRecord) -> None:
        """Replace the record as `put` does. It is found on return, and committed as one that is not urgent.

        This raises `StoreError` only if the store is known to fail; the record waits in memory in any case.
        """
        self._check_open()
        self._backlog.add(rows.to_row(record, self._retention.clock.latest()))
        self._wake_later()
        if self._writer.failure is not None:
            raise StoreError(self._writer.failure)

    def _wake_later(self) -> None:
        if not self._wake_scheduled:
            self._wake_scheduled = True
            asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake_writer)

    def _wake_writer(self) -> None:
        # The flag first: a put from now on schedules its own wake, so that none is missed.
        self._wake_scheduled = False
        self._writer.wake()

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        self._check_open()
        return await self._reader.get(client, project, call_id)

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id."""
        self._check_open()
        return await self._reader.get_shared(client, project, shared_id)

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project that started before `before`, newest first."""
        self._check_open()
        until = microseconds(before) if before else END_OF_TIME
        return await self._reader.list_calls(client, project, limit=limit, until=until)

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of a call and overwrite its text in the file; return False if there is none."""
        return bool(await self._erase(client, project, "call_id", call_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase the records with that shared id in the same way; return their number."""
        return await self._erase(client, project, "shared_id", shared_id)

    async def _erase(self, client: str, project: str, column: str, value: str) -> int:
        self._check_open()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._backlog.erase(client, project, column, value, done)
        self._writer.wake()
        return await done

    async def close(self) -> None:
        """Write the pending records within a time limit, and close."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def notify_on_loop(on_settled: Callable[[str], None] | None) -> Callable[[Collection[str]], None]:
    """Return a function that any thread may call with call ids; `on_settled` gets each of them on this event loop."""
    if on_settled is None:
        return lambda _: None
    loop, callback = asyncio.get_running_loop(), on_settled

    def notify_each(call_ids: Collection[str]) -> None:
        for call_id in call_ids:
            callback(call_id)

    def notify(call_ids: Collection[str]) -> None:
        if call_ids:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(loop.call_later, SETTLED_DELAY_SECONDS, notify_each, call_ids)

    return notify
