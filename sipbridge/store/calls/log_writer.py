"""The additions to the log of calls: the new milestones of the rows that the thread writes, and announcements."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from sipbridge.aio import resolve_futures
from sipbridge.calls.milestones import LAST
from sipbridge.errors import StoreError
from sipbridge.store.calls import rows
from sipbridge.store.calls.rows import Reached
from sipbridge.store.sqlite.database import Database

EVENTS_KEPT = 100_000  # entries
TRIM_EVERY = 1_000  # entries: as many more than `EVENTS_KEPT` may be there

Announcement = tuple[Sequence[Reached], asyncio.Future[None]]


class LogWriter:
    """Belongs to the writer's thread, except `announce`. `on_grown` is called after entries were added."""

    def __init__(self) -> None:
        self.on_grown: Callable[[], None] = lambda: None
        self._new: deque[Announcement] = deque()
        self._announced: list[Announcement] = []
        self._pending: list[Reached] = []
        # Of the calls in progress, whose first entries may have been trimmed.
        self._known: dict[str, int] = {}
        self._untrimmed = 0

    def announce(self, reached: Sequence[Reached], done: asyncio.Future[None]) -> None:
        """Add milestones of calls without a record with the next rows, and resolve the future. Any thread may call."""
        self._new.append((reached, done))

    def rows(self, written: Iterable[Reached]) -> list[tuple[int | str, ...]]:
        """Return the parameters of `rows.LOG` for what is announced and for the rows of this transaction."""
        while self._new:
            self._announced.append(self._new.popleft())
        self._pending = [each for reached, _ in self._announced for each in reached]
        self._pending += written
        now = time.time_ns() // 1000
        return [(now, *each, self._known.get(each.call_id, 0)) for each in self._pending]

    def settle(self) -> None:
        """Resolve announcements and notify the readers, after the transaction."""
        for each in self._pending:
            if each.milestone == LAST:
                self._known.pop(each.call_id, None)
            else:
                self._known[each.call_id] = each.milestone
        self._untrimmed += len(self._pending)
        self._resolve(None)
        self.on_grown()

    def fail(self, error: StoreError) -> None:
        """Give the error to the announcements, which come again."""
        self._resolve(error)

    def trim_if_due(self, database: Database) -> None:
        """Delete the oldest entries."""
        if self._untrimmed >= TRIM_EVERY:
            self._untrimmed = 0
            database.run([(rows.TRIM_LOG, (EVENTS_KEPT,))])

    def _resolve(self, result: StoreError | None) -> None:
        announced, self._announced, self._pending = self._announced, [], []
        resolve_futures([done for _, done in announced], result)
