"""Read records, on separate threads, from the database and from the backlog."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from operator import attrgetter
from typing import TypeVar

from sipbridge.calls.model import CallRecord
from sipbridge.errors import StoreError
from sipbridge.store.sqlite import database, rows
from sipbridge.store.sqlite.backlog import Backlog
from sipbridge.store.sqlite.schema import connect_reader

READERS = 2

T = TypeVar("T")


class Reader:
    """Finds records. Methods raise `StoreError`. `suspect` is called if the file seems corrupt."""

    def __init__(self, source: database.Database, backlog: Backlog, suspect: Callable[[], None]) -> None:
        self._database = source
        self._backlog = backlog
        self._suspect = suspect
        self._threads = ThreadPoolExecutor(READERS, "store-reader")
        self._local = threading.local()
        self._connections: set[sqlite3.Connection] = set()

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        row = self._backlog.row_of(call_id)
        if row is not None:
            return rows.to_record(row.body) if (row.client, row.project) == (client, project) else None
        return await self._on_thread(lambda: _newest(self._select(rows.GET, client, project, call_id)))

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id. If the file cannot be read, look in the backlog only."""

        def read() -> CallRecord | None:
            waiting = self._backlog.of_project(client, project)
            found = [_found(row) for row in waiting.values() if row.shared_id == shared_id]
            try:
                found += self._select(rows.GET_SHARED, client, project, shared_id, but=waiting)
            except StoreError:
                if not found:
                    raise
            return _newest(found)

        return await self._on_thread(read)

    async def list_calls(self, client: str, project: str, *, limit: int, until: int) -> list[CallRecord]:
        """Return records of a project, newest first, started before `until` (microseconds since 1970)."""

        def read() -> list[CallRecord]:
            waiting = self._backlog.of_project(client, project)
            found = [_found(row) for row in waiting.values() if row.started_at < until]
            found += self._select(rows.LIST, client, project, until, but=waiting, limit=limit)
            return [rows.to_record(each.body) for each in _newest_first(found)[:limit]]

        return await self._on_thread(read)

    def close(self) -> None:
        """Finish the reads in progress and close. Blocks."""
        self._threads.shutdown()
        while self._connections:
            self._connections.pop().close()

    async def _on_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    def _select(
        self, statement: str, *parameters: str | int, but: Container[str] = (), limit: int = 1
    ) -> list[rows.Found]:
        """Return the first rows, except those of the calls in `but`, which have a newer row."""
        found: list[rows.Found] = []
        try:
            with closing(self._connection().execute(statement, parameters)) as cursor:
                for values in cursor:
                    if values[0] not in but:
                        found.append(rows.Found(*values))
                    if len(found) == limit:
                        break
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.DatabaseError) and database.is_damage(error):
                self._suspect()
            raise StoreError(f"the store could not be read: {error}") from error
        return found

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's own connection, so that a long query delays no other."""
        generation = self._database.generation
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.generation == generation:
            return connection
        if connection is not None:
            self._connections.discard(connection)
            connection.close()
            self._local.connection = None
        connection = connect_reader(self._database.path, busy_seconds=database.BUSY_SECONDS)
        self._connections.add(connection)
        self._local.connection, self._local.generation = connection, generation
        return connection


def _found(row: rows.Row) -> rows.Found:
    return rows.Found(row.call_id, row.started_at, row.body)


def _newest_first(found: list[rows.Found]) -> list[rows.Found]:
    return sorted(found, key=attrgetter("started_at"), reverse=True)


def _newest(found: list[rows.Found]) -> CallRecord | None:
    return rows.to_record(_newest_first(found)[0].body) if found else None
