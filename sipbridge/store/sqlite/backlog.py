"""Records that are not written yet: for some milliseconds as a rule, for as long as it takes where the store fails."""

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
from sipbridge.store.sqlite.rows import Row

logger = logging.getLogger(__name__)

MAX_RECORDS = 50_000
MAX_CHARACTERS = 256_000_000  # of their texts: a transcript may be long
BATCH = 2_000  # in one transaction

Waiter = asyncio.Future[None]


class Entry(NamedTuple):
    """The newest row of a call, and those who wait for it to be written."""

    number: int
    row: Row
    waiters: list[Waiter]  # the last put's first

    @property
    def was_given_up(self) -> bool:
        """Whether nobody waits any more for the last put."""
        return not self.waiters or self.waiters[0].done()


@dataclass(frozen=True, slots=True)
class Erasure:
    """One who wants the records that match erased, as far as they were put before it. Tells how many there were."""

    number: int
    client: str
    project: str
    column: str
    value: str
    done: asyncio.Future[int]

    def matches(self, row: Row) -> bool:
        """Whether that row is meant."""
        return (row.client, row.project, getattr(row, self.column)) == (self.client, self.project, self.value)


@dataclass(slots=True)
class WriteBatch:
    """What the writer does next: first the erasures, then the rows, oldest first."""

    erasures: Sequence[Erasure] = ()
    entries: list[Entry] = field(default_factory=list)


class Backlog:
    """Rows by call, in the order of their last put, and erasures. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._erasures: list[Erasure] = []
        self._characters = 0
        self._number = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, row: Row, waiter: Waiter | None = None) -> None:
        """Keep a row in the place of an older one of its call. Over the bounds the oldest is dropped."""
        with self._lock:
            self._number += 1
            older = self._entries.pop(row.call_id, None)
            waiters = [waiter] if waiter else []
            self._characters += len(row.body)
            if older:
                # They are told when the newer row is written, which has all that theirs had.
                waiters += [each for each in older.waiters if not each.done()]
                self._characters -= len(older.row.body)
            self._entries[row.call_id] = Entry(self._number, row, waiters)
            while len(self._entries) > MAX_RECORDS or (self._characters > MAX_CHARACTERS and len(self._entries) > 1):
                self._drop_oldest()

    def erase(self, client: str, project: str, column: str, value: str, done: asyncio.Future[int]) -> None:
        """Have records erased."""
        with self._lock:
            self._number += 1
            self._erasures.append(Erasure(self._number, client, project, column, value, done))

    def take(self) -> WriteBatch:
        """Return what is to be done now. Erasures are then the caller's; rows stay until `discard`."""
        with self._lock:
            erasures, self._erasures = self._erasures, []
            return WriteBatch(erasures, list(islice(self._entries.values(), BATCH)))

    def discard(self, entries: Iterable[Entry]) -> None:
        """Forget rows, written or erased, but for those calls that have a newer one meanwhile."""
        with self._lock:
            for entry in entries:
                if self._entries.get(entry.row.call_id) is entry:
                    self._forget(entry)

    def matching(self, erasure: Erasure) -> list[Entry]:
        """Return the rows that are to be erased."""
        with self._lock:
            entries = list(self._entries.values())
        return [entry for entry in entries if entry.number < erasure.number and erasure.matches(entry.row)]

    def find(self, call_id: str) -> Row | None:
        """Return the row of a call."""
        entry = self._entries.get(call_id)
        return entry.row if entry else None

    def of_project(self, client: str, project: str) -> dict[str, Row]:
        """Return the rows of a project by call."""
        with self._lock:
            entries = list(self._entries.values())
        return {e.row.call_id: e.row for e in entries if (e.row.client, e.row.project) == (client, project)}

    def waiters(self) -> list[Waiter]:
        """Return all who wait."""
        with self._lock:
            return [waiter for entry in self._entries.values() for waiter in entry.waiters]

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.row.call_id]
        self._characters -= len(entry.row.body)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._entries.values()))
        self._forget(oldest)
        if not self.dropped:
            logger.error(
                "more records wait than memory may hold: the oldest are lost from now on",
                extra={"event": "records_lost", "call_id": oldest.row.call_id},
            )
        self.dropped += 1
        resolve_futures(oldest.waiters, StoreError("the record was dropped: too many wait to be written"))
