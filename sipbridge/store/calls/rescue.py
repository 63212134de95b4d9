"""Copies what can still be read of an abandoned database into the new one."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from sipbridge.store.bodies import END_OF_TIME
from sipbridge.store.calls import rows

ROWS = 500  # per step, between puts


class CallRescue:
    """The copy of the rows of a `source` that is corrupt or was deleted. `carried` counts the rows copied so far."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source
        self._last = -1
        self._stride = 1
        self.carried = 0

    def step(self, target: sqlite3.Connection) -> bool:
        """Copy some rows, inside a transaction; return True if there may be more.

        A row that the target already has is newer and is kept. Raises `sqlite3.Error` for errors of the target only.
        """
        if self._last < 0:
            target.executemany(rows.EXPECT_DELIVERY, self._read_webhooks())
        found, damaged = self._read()
        target.executemany(rows.PUT_BACK, [row for _, *row in found])
        self.carried += len(found)
        if found:
            self._last, self._stride = found[-1][0], 1
        if damaged:
            # Skip the damage, whose size is unknown.
            self._last += self._stride
            self._stride *= 2
            return self._last < END_OF_TIME
        return len(found) == ROWS

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

    def _read(self) -> tuple[list[tuple[int, *tuple[str | int, ...]]], bool]:
        found = []
        try:
            for row in self._source.execute(rows.RESCUE, (self._last, ROWS)):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
