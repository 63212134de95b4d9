"""Erases records that are older than the retention time."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sipbridge.store.sqlite.clock import Clock
from sipbridge.store.sqlite.database import Database

PURGE_SECONDS = 3600.0  # more often if records are kept for less than four hours
MIN_PURGE_SECONDS = 0.5
PURGE_ROWS = 500  # per step, between writes


@dataclass(frozen=True, slots=True)
class AgeStatements:
    """The statements for the age of rows, in microseconds since 1970.

    `newest` selects the last time, `delete_old` gets a time and the greatest number of rows. `bring_to_now` corrects
    rows that were written while the clock was ahead.
    """

    newest: str
    delete_old: str
    bring_to_now: str


class Retention:
    """Erases rows whose last put is longer ago than `keep`, and corrupt files of that age."""

    def __init__(self, keep: timedelta, statements: AgeStatements, purge_rows: int | None = None) -> None:
        """Erase `purge_rows` per step, or `PURGE_ROWS`."""
        self._statements = statements
        self._purge_rows = purge_rows or PURGE_ROWS
        self.clock = Clock(keep)
        self._keep_seconds = keep.total_seconds()
        self._every_seconds = max(MIN_PURGE_SECONDS, min(PURGE_SECONDS, self._keep_seconds / 4))
        self._due_at = time.monotonic()
        self._started = False

    def start(self, database: Database) -> None:
        """Put the first purge off if all rows are too old, since the clock may not be set yet.

        Must be called before the first write, whose row would be new. Later calls do nothing.
        """
        if self._started:
            return
        with database.transaction() as connection:
            newest: int | None = connection.execute(self._statements.newest).fetchone()[0]
        self._started = True
        if newest is not None and newest < self._oldest():
            self._due_at = time.monotonic() + self._every_seconds

    def purge_if_due(self, database: Database) -> bool:
        """Erase some rows if it is time; return True if there may be more."""
        self.clock.watch()
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + self._every_seconds
        oldest = self._oldest()
        more = self._purge(database, oldest)
        if more:
            self._due_at = time.monotonic()
        else:
            _purge_asides(database, oldest)
        return more

    def _oldest(self) -> int:
        return self.clock.earliest() - round(self._keep_seconds * 1_000_000)

    def _purge(self, database: Database, oldest: int) -> bool:
        with database.transaction() as connection:
            connection.execute(self._statements.bring_to_now, {"now": self.clock.latest()})
            erased = connection.execute(self._statements.delete_old, (oldest, self._purge_rows)).rowcount
        if erased:
            database.mark_erased()
        return erased == self._purge_rows


def _purge_asides(database: Database, oldest: int) -> None:
    for path in database.path.parent.glob(f"{database.path.name}.corrupt-*"):
        with suppress(OSError):
            if path.stat().st_mtime_ns // 1000 < oldest:
                path.unlink()
