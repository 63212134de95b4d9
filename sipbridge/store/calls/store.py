"""The store of one node: a SQLite file, one thread that writes it and two that read it.

Pending puts are committed together, so that many calls that end at once need one disk sync. While the file cannot be
written, records wait in memory and are found there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.observer import Observer
from sipbridge.calls.ports.store import Undelivered
from sipbridge.errors import StoreError
from sipbridge.store.bodies import END_OF_TIME, microseconds
from sipbridge.store.calls import rows
from sipbridge.store.calls.announcer import Announcer
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.calls.event_log import SqliteCallLog
from sipbridge.store.calls.has_webhook import HasWebhook, has_none
from sipbridge.store.calls.log_writer import LogWriter
from sipbridge.store.calls.puts import Puts
from sipbridge.store.calls.reader import Reader
from sipbridge.store.calls.rescue import CallRescue
from sipbridge.store.calls.schema import SCHEMA
from sipbridge.store.calls.settling import OnSettled, Settling, notify_on_loop
from sipbridge.store.calls.writer import Writer
from sipbridge.store.sqlite.database import open_database
from sipbridge.store.sqlite.retention import Retention


class SqliteStore:
    """A `RecordStore` in a file. Raises `StartupError` if the file cannot be used or is in use by another process.

    Belongs to one event loop. Rows whose last put is older than `retention` are deleted at the start and hourly.
    `on_settled` learns of ended calls whose record was erased, or was written after its put had failed.
    `has_webhook` is true for a client and a project whose ended calls have events to deliver.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: timedelta,
        on_settled: OnSettled | None = None,
        has_webhook: HasWebhook = has_none,
    ) -> None:
        database, self._lock = open_database(path, SCHEMA, CallRescue)
        self._retention = Retention(retention, rows.AGES)
        self._backlog = Backlog()
        self._has_webhook = has_webhook
        settling = Settling(self._backlog, notify_on_loop(on_settled))
        self._announcer = Announcer(self._announce)
        self.observe: Observer = self._announcer
        self._log = LogWriter()
        self._writer = Writer(database, self._backlog, self._retention, settling, self._log)
        self._puts = Puts(self._backlog, settling, self._writer.wake)
        self._reader = Reader(database, self._backlog, self._writer.suspect)
        self.events = SqliteCallLog(self._reader, self._announcer.begun)
        self._log.on_grown = self.events.grown
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
        self._announcer.on_put(record.call_id)
        row = rows.to_row(record, self._retention.clock.latest())
        for_webhook = record.state is CallState.ENDED and self._has_webhook(record.client, record.project)
        await self._puts.put(row, urgent=urgent, for_webhook=for_webhook)

    def put_later(self, record: CallRecord) -> None:
        """Replace the record as `put` does. It is found on return, and committed as one that is not urgent.

        This raises `StoreError` only if the store is known to fail; the record waits in memory in any case.
        """
        self._check_open()
        self._announcer.on_put(record.call_id)
        self._puts.put_later(rows.to_row(record, self._retention.clock.latest()))

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

    async def undelivered(self) -> list[Undelivered]:
        """Return the ended calls whose webhook did not get all events."""
        self._check_open()
        return await self._reader.undelivered()

    def mark_delivered(self, client: str, project: str, call_id: str, sequence: int) -> None:  # noqa: ARG002 (the id is enough)
        """Note that the webhook has got the events of an ended call up to this sequence."""
        if not self._closed:
            self._writer.mark_delivered(call_id, sequence)

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of a call and overwrite its text in the file; return False if there is none."""
        return bool(await self._erase(client, project, "call_id", call_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase the records with that shared id in the same way; return their number."""
        return await self._erase(client, project, "shared_id", shared_id)

    async def _erase(self, client: str, project: str, column: str, value: str) -> int:
        self._check_open()
        return await self._puts.erase(client, project, column, value)

    async def close(self) -> None:
        """Write the pending records within a time limit, and close."""
        if self._closed:
            return
        self._closed = True
        await self.events.close()
        await self._announcer.close()
        await asyncio.to_thread(self._close)

    async def _announce(self, records: Sequence[CallRecord]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log.announce([rows.Reached.of(record) for record in records], done)
        self._writer.wake()
        await done

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
