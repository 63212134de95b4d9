"""Copies what can still be read of an abandoned database into the new one: the chats in progress first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sipbridge.store.bodies import END_OF_TIME
from sipbridge.store.chats import rows

CHATS = 50  # per step, between changes


class ChatRescue:
    """The copy of the chats of a `source` that is corrupt or was deleted. `carried` counts the chats copied so far."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self.carried = 0
        self._source = source
        self._started = False
        self._last = -1
        self._stride = 1

    def step(self, target: sqlite3.Connection) -> bool:
        """Copy all chats in progress at first, then some others; return True if there may be more.

        What the target already has is newer and is kept. Raises `sqlite3.Error` for errors of the target only.
        """
        if not self._started:
            self._started = True
            found, _ = self._read(rows.IDS_IN_PROGRESS)
            self._copy(target, found)
            return True
        found, damaged = self._read(rows.NEXT_IDS, self._last, CHATS)
        self._copy(target, found)
        if found:
            self._last, self._stride = found[-1][0], 1
        if damaged:
            # Skip the damage, whose size is unknown.
            self._last += self._stride
            self._stride *= 2
            return self._last < END_OF_TIME
        return len(found) == CHATS

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _copy(self, target: sqlite3.Connection, ids: Sequence[tuple[int]]) -> None:
        for (id_,) in ids:
            chats, _ = self._read(rows.RESCUE, id_)
            if chats:
                self.carried += target.execute(rows.CREATE, chats[0]).rowcount
                self._copy_entries(target, id_, chats[0][0])

    def _copy_entries(self, target: sqlite3.Connection, id_: int, uid: str) -> None:
        there = target.execute(rows.ID_OF, (uid,)).fetchone()
        if there is None:  # the target has a newer chat with the same chat_id
            return
        (new_id,) = there
        webhooks, _ = self._read(rows.RESCUE_WEBHOOK, id_)
        target.execute(rows.CREATE_WEBHOOK, (new_id, webhooks[0][0] if webhooks else 0))
        entries, _ = self._read(rows.RESCUE_ENTRIES, id_)
        target.executemany(rows.PUT_BACK_ENTRY, [(new_id, *entry) for entry in entries])

    def _read(self, statement: str, *parameters: str | int) -> tuple[Sequence[tuple[Any, ...]], bool]:
        """Return the rows until the first error, and True if there was one."""
        found: list[tuple[Any, ...]] = []
        try:
            for row in self._source.execute(statement, parameters):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
