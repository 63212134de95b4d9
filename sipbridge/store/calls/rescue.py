"""Copies what can still be read of an abandoned database into the new one."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from sipbridge.store.calls import rows
from sipbridge.store.sqlite.rescue import Progress

ROWS = 500  # per step, between puts


class CallRescue:
    """The copy of the rows of a `source` that is corrupt or was deleted."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source

    def step(self, target: sqlite3.Connection, progress: Progress) -> Progress:
        """Copy some rows, inside a transaction; return the progress once that is committed.

        A row that the target already has is newer and is kept. Raises `sqlite3.Error` for errors of the target only.
        """
        if not progress.has_begun:
            target.executemany(rows.EXPECT_DELIVERY, self._read_webhooks())
        found, damaged = self._read(progress.last)
        target.executemany(rows.PUT_BACK, [row for _, *row in found])
        return progress.after([id_ for id_, *_ in found], ROWS, carried=len(found), damaged=damaged)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _read_webhooks(self) -> list[tuple[str, int]]:
        """Return the positions of webhooks. Those of a damaged page are lost, and with them events that wait."""
        found = []
        with suppress(sqlite3.Error, OverflowError):
            for row in self._source.execute(rows.RESCUE_WEBHOOKS):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        return found

    def _read(self, last: int) -> tuple[list[tuple[int, *tuple[str | int, ...]]], bool]:
        found = []
        try:
            for row in self._source.execute(rows.RESCUE, (last, ROWS)):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
