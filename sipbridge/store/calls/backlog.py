"""Records that are not written yet: usually for a few milliseconds, or for as long as the store fails."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from sipbridge.aio import resolve_futures
from sipbridge.errors import StoreError
from sipbridge.store.calls.rows import Row

logger = logging.getLogger(__name__)

MAX_RECORDS = 50_000
MAX_CHARACTERS = 256_000_000  # of all records: a transcript may be long
BATCH = 2_000  # rows per transaction

Waiter = asyncio.Future[None]


class Entry(NamedTuple):
    """The newest row of a call, and the futures to resolve when it is written."""

    number: int
    row: Row
    waiters: list[Waiter]  # that of the last put first
    for_webhook: bool = False  # the webhook of the project waits for events

    @property
    def was_given_up(self) -> bool:
        """True if nothing waits for the last put any more."""
        return not self.waiters or self.waiters[0].done()


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase the matching records that were put before it. `done` gets the number of calls erased."""

    number: int
    client: str
    project: str
    column: str
    value: str
    done: asyncio.Future[int]

    def matches(self, row: Row) -> bool:
        """True if the row has to be erased."""
        return (row.client, row.project, getattr(row, self.column)) == (self.client, self.project, self.value)


@dataclass(slots=True)
class WriteBatch:
    """The writer's next work: first the erasures, then the rows, oldest first."""

    erasures: Sequence[Erasure] = ()
    entries: list[Entry] = field(default_factory=list)


class Backlog:
    """Rows by call, in the order of their last put, and erasures. All methods may be called from any thread.

    `dropped` counts the rows that were dropped because the backlog was full.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._erasures: list[Erasure] = []
        self._characters = 0
        self._number = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, row: Row, waiter: Waiter | None = None, *, for_webhook: bool = False) -> None:
        """Add a row, which replaces an older one of its call. If the backlog is full, drop the oldest row."""
        with self._lock:
            self._number += 1
            older = self._entries.pop(row.call_id, None)
            waiters = [waiter] if waiter else []
            self._characters += len(row.body)
            if older:
                # Resolved when the newer row is written, as it contains everything that theirs did.
                waiters += [each for each in older.waiters if not each.done()]
                self._characters -= len(older.row.body)
            self._entries[row.call_id] = Entry(self._number, row, waiters, for_webhook)
            while len(self._entries) > MAX_RECORDS or (self._characters > MAX_CHARACTERS and len(self._entries) > 1):
                self._drop_oldest()

    def erase(self, client: str, project: str, column: str, value: str, done: asyncio.Future[int]) -> None:
        """Queue an erasure."""
        with self._lock:
            self._number += 1
            self._erasures.append(Erasure(self._number, client, project, column, value, done))

    def next_batch(self, rows: int = BATCH) -> WriteBatch:
        """Return the next work. Erasures are removed from the backlog; rows stay in it until `discard`."""
        with self._lock:
            erasures, self._erasures = self._erasures, []
            return WriteBatch(erasures, list(islice(self._entries.values(), rows)))

    def discard(self, entries: Iterable[Entry]) -> None:
        """Remove rows that were written or erased, except if the call has got a newer row."""
        with self._lock:
            for entry in entries:
                if self._entries.get(entry.row.call_id) is entry:
                    self._remove(entry)

    def matching(self, erasure: Erasure) -> list[Entry]:
        """Return the rows that an erasure affects."""
        with self._lock:
            entries = list(self._entries.values())
        return [entry for entry in entries if entry.number < erasure.number and erasure.matches(entry.row)]

    def entry_of(self, call_id: str) -> Entry | None:
        """Return the entry of a call."""
        return self._entries.get(call_id)

    def row_of(self, call_id: str) -> Row | None:
        """Return the row of a call."""
        entry = self.entry_of(call_id)
        return entry.row if entry else None

    def of_project(self, client: str, project: str) -> dict[str, Row]:
        """Return the rows of a project by call."""
        with self._lock:
            entries = list(self._entries.values())
        return {e.row.call_id: e.row for e in entries if (e.row.client, e.row.project) == (client, project)}

    def waiters(self) -> list[Waiter]:
        """Return the futures of all puts."""
        with self._lock:
            return [waiter for entry in self._entries.values() for waiter in entry.waiters]

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.row.call_id]
        self._characters -= len(entry.row.body)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._entries.values()))
        self._remove(oldest)
        if not self.dropped:
            logger.error(
                "too many unwritten records in memory: dropping the oldest",
                extra={"event": "records_lost", "call_id": oldest.row.call_id},
            )
        self.dropped += 1
        resolve_futures(oldest.waiters, StoreError("record dropped: too many are waiting to be written"))
