"""When records are too old to be kept."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta

from sipbridge.store.sqlite import rows
from sipbridge.store.sqlite.clock import Clock
from sipbridge.store.sqlite.database import Database

PURGE_SECONDS = 3600.0  # more often where records are kept for less than four hours
LEAST_PURGE_SECONDS = 0.5
PURGE_ROWS = 500  # at a time, between puts


class Retention:
    """Erases rows whose last put is longer ago than `keep`, and damaged files of that age."""

    def __init__(self, keep: timedelta) -> None:
        self.clock = Clock(keep)
        self._keep_seconds = keep.total_seconds()
        self._every_seconds = max(LEAST_PURGE_SECONDS, min(PURGE_SECONDS, self._keep_seconds / 4))
        self._due_at = time.monotonic()
        self._looked = False

    def purge_if_due(self, database: Database) -> bool:
        """Erase some, where it is time; return whether there may be more."""
        self.clock.watch()
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + self._every_seconds
        oldest = self.clock.earliest() - round(self._keep_seconds * 1_000_000)
        if self._would_empty_at_start(database, oldest):
            return False
        more = self._purge(database, oldest)
        if more:
            self._due_at = time.monotonic()
        else:
            _purge_asides(database, oldest)
        return more

    def _would_empty_at_start(self, database: Database, oldest: int) -> bool:
        """Whether all rows are too old, at the first look: then the clock may not have been set yet, and we wait."""
        if self._looked:
            return False
        self._looked = True
        with database.transaction() as connection:
            newest: int | None = connection.execute(rows.NEWEST).fetchone()[0]
        return newest is not None and newest < oldest

    def _purge(self, database: Database, oldest: int) -> bool:
        with database.transaction() as connection:
            connection.execute(rows.BRING_TO_NOW, {"now": self.clock.latest()})
            erased = connection.execute(rows.DELETE_OLD, (oldest, PURGE_ROWS)).rowcount
        if erased:
            database.note_erased()
        return erased == PURGE_ROWS


def _purge_asides(database: Database, oldest: int) -> None:
    for path in database.path.parent.glob(f"{database.path.name}.corrupt-*"):
        with suppress(OSError):
            if path.stat().st_mtime_ns // 1000 < oldest:
                path.unlink()
