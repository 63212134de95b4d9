"""Read records, on separate threads, from the database and from the backlog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from contextlib import closing

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import LogEntry, Position
from sipbridge.calls.ports.store import Undelivered
from sipbridge.errors import StoreError
from sipbridge.store.calls import rows
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.sqlite.database import Database
from sipbridge.store.sqlite.read_threads import ReadThreads


class Reader:
    """Finds records. Methods raise `StoreError`. `suspect` is called if the file seems corrupt."""

    def __init__(self, source: Database, backlog: Backlog, suspect: Callable[[], None]) -> None:
        self._threads = ReadThreads(source, suspect)
        self._backlog = backlog

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        row = self._backlog.row_of(call_id)
        if row is not None:
            return rows.to_record(row.body) if (row.client, row.project) == (client, project) else None
        return await self._threads.run(lambda: rows.newest(self._select(rows.GET, client, project, call_id)))

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id. If the file cannot be read, look in the backlog only."""

        def read() -> CallRecord | None:
            waiting = self._backlog.of_project(client, project)
            found = [rows.Found.of(row) for row in waiting.values() if row.shared_id == shared_id]
            try:
                found += self._select(rows.GET_SHARED, client, project, shared_id, but=waiting)
            except StoreError:
                if not found:
                    raise
            return rows.newest(found)

        return await self._threads.run(read)

    async def list_calls(self, client: str, project: str, *, limit: int, until: int) -> list[CallRecord]:
        """Return records of a project, newest first, started before `until` (microseconds since 1970)."""

        def read() -> list[CallRecord]:
            waiting = self._backlog.of_project(client, project)
            found = [rows.Found.of(row) for row in waiting.values() if row.started_at < until]
            found += self._select(rows.LIST, client, project, until, but=waiting, limit=limit)
            return rows.newest_first(found, limit)

        return await self._threads.run(read)

    async def get_all(self, client: str, project: str, call_ids: Collection[str]) -> dict[str, CallRecord]:
        """Return the records of calls that have one."""

        def read() -> dict[str, CallRecord]:
            waiting = self._backlog.of_project(client, project)
            bodies = {call_id: waiting[call_id].body for call_id in call_ids if call_id in waiting}
            for call_id in call_ids:
                if call_id not in bodies:
                    bodies |= {found.call_id: found.body for found in self._select(rows.GET, client, project, call_id)}
            return {call_id: rows.to_record(body) for call_id, body in bodies.items()}

        return await self._threads.run(read)

    async def log_entries(self, client: str, project: str, *, first: Position, limit: int) -> list[LogEntry]:
        """Return entries of a project's log from a position on."""

        def read() -> list[LogEntry]:
            found = self._threads.select(rows.LOG_ENTRIES, client, project, rows.from_position(first), limit)
            return [rows.to_log_entry(*values) for values in found]

        return await self._threads.run(read)

    async def last_log_entry(self, client: str, project: str) -> Position | None:
        """Return the position of the last entry of a project's log; None if there is none."""

        def read() -> Position | None:
            ((position,),) = self._threads.select(rows.LAST_LOG_ENTRY, client, project)
            return None if position is None else rows.to_position(position)

        return await self._threads.run(read)

    async def undelivered(self) -> list[Undelivered]:
        """Return the ended calls whose webhook did not get all events; fails while an abandoned file is copied."""

        def read() -> list[Undelivered]:
            return [Undelivered(*values) for values in self._threads.select(rows.UNDELIVERED, needs_all=True)]

        return await self._threads.run(read)

    def close(self) -> None:
        """Finish the reads in progress and close. Blocks."""
        self._threads.close()

    def _select(
        self, statement: str, *parameters: str | int, but: Container[str] = (), limit: int = 1
    ) -> list[rows.Found]:
        """Return the first rows, except those of the calls in `but`, which have a newer row."""
        found: list[rows.Found] = []
        with closing(self._threads.select(statement, *parameters)) as selected:
            for values in selected:
                if values[0] not in but:
                    found.append(rows.Found(*values))
                if len(found) == limit:
                    break
        return found
