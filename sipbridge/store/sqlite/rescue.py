"""What can still be read of a database that was given up is carried over into the new one."""

from __future__ import annotations

import sqlite3

from sipbridge.store.sqlite import rows

ROWS = 500  # at a time, between puts


class Rescue:
    """The rows of a `source`, which is damaged or no longer has a name, on their way."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source
        self._last = -1
        self._stride = 1
        self.carried = 0

    def step(self, target: sqlite3.Connection) -> bool:
        """Carry some rows over, inside a transaction; return whether there may be more.

        A row that the target has is newer there. Raises `sqlite3.Error` of the target alone.
        """
        found, damaged = self._read()
        target.executemany(rows.PUT_BACK, [row for _, *row in found])
        self.carried += len(found)
        if found:
            self._last, self._stride = found[-1][0], 1
        if damaged:
            # Over the damage, whose size is not known.
            self._last += self._stride
            self._stride *= 2
            return self._last < rows.END_OF_TIME
        return len(found) == ROWS

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _read(self) -> tuple[list[tuple[int, *tuple[str | int, ...]]], bool]:
        found = []
        try:
            for row in self._source.execute(rows.RESCUE, (self._last, ROWS)):
                found.append(row)  # noqa: PERF402 (those before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
