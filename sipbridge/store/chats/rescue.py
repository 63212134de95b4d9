"""Copies what can still be read of an abandoned database into the new one: the chats in progress first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sipbridge.store.chats import rows
from sipbridge.store.sqlite.bodies import END_OF_TIME

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
            uids, _ = self._read(rows.IDS_IN_PROGRESS)
            for (uid,) in uids:
                self._copy(target, uid)
            return True
        found, damaged = self._read(rows.NEXT_IDS, self._last, CHATS)
        for _, uid in found:
            self._copy(target, uid)
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

    def _copy(self, target: sqlite3.Connection, uid: str) -> None:
        chats, _ = self._read(rows.RESCUE, uid)
        created = sum(target.execute(rows.CREATE, chat).rowcount for chat in chats)
        self.carried += created
        if not target.execute(rows.EXISTS, (uid,)).fetchone():
            return
        webhooks, _ = self._read(rows.RESCUE_WEBHOOK, uid)
        target.execute(rows.CREATE_WEBHOOK, webhooks[0] if webhooks else (uid, 0))
        entries, _ = self._read(rows.RESCUE_ENTRIES, uid)
        target.executemany(rows.PUT_BACK_ENTRY, entries)

    def _read(self, statement: str, *parameters: str | int) -> tuple[Sequence[tuple[Any, ...]], bool]:
        """Return the rows until the first error, and True if there was one."""
        found: list[tuple[Any, ...]] = []
        try:
            for row in self._source.execute(statement, parameters):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
