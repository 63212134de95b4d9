"""The store of one node: a SQLite file, one thread that writes it and two that read it.

Puts that wait together are committed together: the disk is waited for once, however many calls end at that moment.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from operator import attrgetter
from pathlib import Path

from sipbridge.calls.model import CallRecord
from sipbridge.errors import StoreError
from sipbridge.store import rows
from sipbridge.store.schema import connect_reader, connect_writer

logger = logging.getLogger(__name__)

BUSY_SECONDS = 1.0  # how long a put waits for another process that locks the file: the caller waits with it
LAZY_SECONDS = 0.1
GATHER_SECONDS = 0.01  # what the first put of a group waits for others: each commit costs as much as a dozen rows
PURGE_SECONDS = 3600.0
PURGE_ROWS = 500  # at a time, between puts
READERS = 2


@dataclass(frozen=True, slots=True)
class _Put:
    number: int
    row: rows.Row
    done: asyncio.Future[None]


class _Nudge:
    """Tells the writer of puts that were in no hurry."""


_NUDGE = _Nudge()


class SqliteStore:
    """A `RecordStore` in a file. Raises `StartupError` where the file cannot be used.

    Belongs to one event loop. Rows whose last put is older than `retention` are deleted at the start and hourly.
    """

    def __init__(self, path: Path, *, retention: timedelta) -> None:
        self._path = path
        self._retention = retention
        self._queue: queue.SimpleQueue[_Put | _Nudge | None] = queue.SimpleQueue()
        self._lazy: deque[_Put] = deque()
        self._nudge_due = False
        self._numbers = count()
        self._closed = False
        self._connection = connect_writer(path, busy_seconds=BUSY_SECONDS)
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, "store-reader")

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, over an older one of the same call; durable on return.

        One that is not urgent rides with the next that is, or goes after `LAZY_SECONDS`: each commit wakes a thread and
        the disk, which cost more than the row.
        """
        if self._closed:
            raise StoreError("the store is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        put = _Put(next(self._numbers), rows.to_row(record), done)
        if urgent:
            self._queue.put(put)
        else:
            self._lazy.append(put)
            if not self._nudge_due:
                self._nudge_due = True
                loop.call_later(LAZY_SECONDS, self._nudge)
        await done

    def _nudge(self) -> None:
        # First the flag: a put from here on asks for a nudge of its own, so that none is left behind.
        self._nudge_due = False
        self._queue.put(_NUDGE)

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        return next(iter(await self._read(rows.GET, client, project, call_id)), None)

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the record with that shared id that started last."""
        return next(iter(await self._read(rows.GET_SHARED, client, project, shared_id)), None)

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project, newest first, started before `before`."""
        until = rows.microseconds(before) if before else rows.END_OF_TIME
        return await self._read(rows.LIST, client, project, until, limit)

    async def close(self) -> None:
        """Write what is queued and close."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        self._writer.join()
        self._readers.shutdown()
        while self._reader_connections:
            self._reader_connections.pop().close()

    # Reading

    async def _read(self, statement: str, *parameters: str | int) -> list[CallRecord]:
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._select, statement, parameters)

    def _select(self, statement: str, parameters: Sequence[str | int]) -> list[CallRecord]:
        try:
            found = self._reader().execute(statement, parameters).fetchall()
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise StoreError(f"the store could not be read: {error}") from error
        return [rows.to_record(body) for (body,) in found]

    def _reader(self) -> sqlite3.Connection:
        """Return this thread's own connection, so that a long list keeps nobody else waiting."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect_reader(self._path, busy_seconds=BUSY_SECONDS)
            self._reader_connections.append(connection)
        return connection

    # Writing: all of it on one thread

    def _write(self) -> None:
        with closing(self._connection):
            purge_at = time.monotonic()
            while True:
                batch, last = self._next_batch(purge_at)
                if batch:
                    self._put_all(batch)
                if last:
                    return
                if time.monotonic() >= purge_at:
                    more = self._purge()
                    purge_at = time.monotonic() + (0 if more else PURGE_SECONDS)

    def _next_batch(self, until: float) -> tuple[list[_Put], bool]:
        """Wait for a put until that moment; return it with all that have come meanwhile, and whether to stop."""
        batch: list[_Put] = []
        with suppress(queue.Empty):
            item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            if item is not None:
                time.sleep(GATHER_SECONDS)
            while item is not None:
                if isinstance(item, _Put):
                    batch.append(item)
                item = self._queue.get_nowait()
            return self._with_lazy(batch), True
        return self._with_lazy(batch), False

    def _with_lazy(self, batch: list[_Put]) -> list[_Put]:
        """Add what was in no hurry, all in the order in which it came: the latest put of a call must win."""
        batch += [self._lazy.popleft() for _ in range(len(self._lazy))]
        return sorted(batch, key=attrgetter("number"))

    def _put_all(self, batch: list[_Put]) -> None:
        failure: str | None = None
        try:
            with self._transaction():
                self._connection.executemany(rows.PUT, [put.row for put in batch])
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait must hear of it and the thread go on)
            failure = f"the store could not be written: {error}"
        with suppress(RuntimeError):  # the loop is gone, and with it all who waited
            batch[0].done.get_loop().call_soon_threadsafe(_settle, batch, failure)

    def _purge(self) -> bool:
        """Delete some old rows; return whether more may be left."""
        oldest = time.time_ns() // 1000 - self._retention // timedelta(microseconds=1)
        try:
            with self._transaction():
                return self._connection.execute(rows.DELETE_OLD, (oldest, PURGE_ROWS)).rowcount == PURGE_ROWS
        except sqlite3.Error as error:
            logger.warning("old records could not be deleted, which is tried again in an hour: %s", error)
            return False

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _settle(batch: list[_Put], failure: str | None) -> None:
    for put in batch:
        if put.done.done():  # cancelled
            continue
        if failure is None:
            put.done.set_result(None)
        else:
            put.done.set_exception(StoreError(failure))
