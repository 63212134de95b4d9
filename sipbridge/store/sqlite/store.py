"""The store of one node: a SQLite file, one thread that writes it and two that read it.

Puts that wait together are committed together: the disk is waited for once, however many calls end at that moment.
Where the file cannot be written, records wait in memory until it can be, and are found there meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.errors import StartupError, StoreError
from sipbridge.store.sqlite import rows
from sipbridge.store.sqlite.backlog import Backlog
from sipbridge.store.sqlite.database import open_database
from sipbridge.store.sqlite.lock import FileLock
from sipbridge.store.sqlite.reader import Reader
from sipbridge.store.sqlite.retention import Retention
from sipbridge.store.sqlite.writer import Writer

LAZY_SECONDS = 0.1
# A call whose put failed first does what it does without a store, and then learns what became of its record.
SETTLED_DELAY_SECONDS = 1.0


class SqliteStore:
    """A `RecordStore` in a file. Raises `StartupError` where the file cannot be used, or another process has it.

    Belongs to one event loop. Rows whose last put is older than `retention` are deleted at the start and hourly.
    `on_settled` is told of each call that is over whose record was erased, or written though its last put had failed.
    """

    def __init__(self, path: Path, *, retention: timedelta, on_settled: Callable[[str], None] | None = None) -> None:
        try:
            self._lock = FileLock(path)
        except OSError as error:
            raise StartupError(f"store.url: {path} cannot be written: {error.strerror}") from error
        try:
            database = open_database(path)
        except BaseException:
            self._lock.release()
            raise
        self._retention = Retention(retention)
        self._backlog = Backlog()
        self._on_settled = notify_on_loop(on_settled)
        self._writer = Writer(database, self._backlog, self._retention, self._on_settled)
        self._reader = Reader(database, self._backlog, self._writer.suspect)
        self._nudge_due = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return len(self._backlog)

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, over an older one of the same call; durable on return.

        One that is not urgent rides with the next that is, or goes after `LAZY_SECONDS`: each commit wakes a thread and
        the disk, which cost more than the row. Where this raises `StoreError` because the file cannot be written, the
        record waits in memory.
        """
        self._must_be_open()
        row = rows.to_row(record, self._retention.clock.latest())
        failure = self._writer.failure
        if failure is not None:
            self._backlog.add(row)
            raise StoreError(failure)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._backlog.add(row, done)
        if urgent:
            self._writer.wake()
        elif not self._nudge_due:
            self._nudge_due = True
            loop.call_later(LAZY_SECONDS, self._nudge)
        try:
            await done
        except (asyncio.CancelledError, StoreError):
            # Written all the same, by a writer that did not know yet that this gives up?
            if (
                record.state is CallState.ENDED
                and not self._backlog.dropped
                and self._backlog.find(row.call_id) is not row
            ):
                self._on_settled([row.call_id])
            raise

    def _nudge(self) -> None:
        # First the flag: a put from here on asks for a nudge of its own, so that none is left behind.
        self._nudge_due = False
        self._writer.wake()

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        self._must_be_open()
        return await self._reader.get(client, project, call_id)

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the record with that shared id that started last."""
        self._must_be_open()
        return await self._reader.get_shared(client, project, shared_id)

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project, newest first, started before `before`."""
        self._must_be_open()
        until = rows.microseconds(before) if before else rows.END_OF_TIME
        return await self._reader.list_calls(client, project, limit=limit, until=until)

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of a call, so that the file no longer has its text; false where there is none."""
        return bool(await self._erase(client, project, "call_id", call_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase the records with that shared id in the same way; return how many there were."""
        return await self._erase(client, project, "shared_id", shared_id)

    async def _erase(self, client: str, project: str, column: str, value: str) -> int:
        self._must_be_open()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._backlog.erase(client, project, column, value, done)
        self._writer.wake()
        return await done

    async def close(self) -> None:
        """Write what waits, for as long as that may take at the end, and close."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._lock.release()

    def _must_be_open(self) -> None:
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
