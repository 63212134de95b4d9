"""The log of calls in the file of their records, and its reading."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import BEGINNING, Listener, LogEntry, Position
from sipbridge.store.calls.reader import Reader
from sipbridge.store.tail import Tail

ENTRIES = 100  # of each project at a time

Project = tuple[str, str]


class SqliteCallLog:
    """A `CallLog`. Belongs to one event loop, except `grown`. `begun` has records that were not put yet."""

    def __init__(self, reader: Reader, begun: Mapping[str, CallRecord]) -> None:
        self._reader = reader
        self._begun = begun
        self._tail = Tail[Project, LogEntry](self)
        self._grown = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def entries(self, client: str, project: str, *, first: Position, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries of a project from that position on. Raises `StoreError`."""
        return await self._reader.log_entries(client, project, first=first, limit=limit)

    async def records(self, client: str, project: str, call_ids: Collection[str]) -> dict[str, CallRecord]:
        """Return the records of the calls that have not been erased. Raises `StoreError`."""
        # Those that have begun first: a put that comes in between removes them, and is then found.
        begun = {each: self._begun[each] for each in call_ids if each in self._begun}
        return begun | await self._reader.get_all(client, project, call_ids)

    def follow(self, client: str, project: str, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Pass on the entries that are added while the block runs. Raises `StoreError`."""
        self._loop = asyncio.get_running_loop()
        return self._tail.follow((client, project), listener)

    def grown(self) -> None:
        """Notify the followers of new entries. May be called from any thread."""
        if self._loop is not None and self._tail.is_followed:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._grown.set)

    async def close(self) -> None:
        """Pass on nothing more."""
        await self._tail.close()

    async def newest(self, key: Project) -> Position:
        """Return the position of the last entry of a project, for the tail."""
        return await self._reader.last_log_entry(*key) or BEGINNING

    async def next(self, after: Mapping[Project, Position]) -> Sequence[tuple[Project, Sequence[LogEntry]]]:
        """Return entries after these positions by project, once there are any, for the tail."""
        while True:
            self._grown.clear()
            found = [(key, await self.entries(*key, first=last.next, limit=ENTRIES)) for key, last in after.items()]
            if any(entries for _, entries in found):
                return [(key, entries) for key, entries in found if entries]
            await self._grown.wait()
