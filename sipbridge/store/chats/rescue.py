"""Copies what can still be read of an abandoned database into the new one: the chats in progress first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sipbridge.store.chats import rows
from sipbridge.store.sqlite.rescue import Progress

CHATS = 50  # per step, between changes


class ChatRescue:
    """The copy of the chats of a `source` that is corrupt or was deleted."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source

    def step(self, target: sqlite3.Connection, progress: Progress) -> Progress:
        """Copy all chats in progress at first, then some others; return the progress once that is committed.

        What the target already has is newer and is kept. Raises `sqlite3.Error` for errors of the target only.
        """
        if not progress.has_begun:
            ids, _ = self._read_ids(rows.IDS_IN_PROGRESS)
            return replace(progress, has_begun=True, carried=self._copy(target, ids))
        ids, damaged = self._read_ids(rows.NEXT_IDS, progress.last, CHATS)
        return progress.after(ids, CHATS, carried=self._copy(target, ids), damaged=damaged)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _copy(self, target: sqlite3.Connection, ids: Sequence[int]) -> int:
        """Copy chats; return the number of those that the target did not have."""
        copied = 0
        for id_ in ids:
            chats, _ = self._read(rows.RESCUE, id_)
            if chats:
                copied += target.execute(rows.CREATE, chats[0]).rowcount
                self._copy_entries(target, id_, chats[0][0])
        return copied

    def _copy_entries(self, target: sqlite3.Connection, id_: int, uid: str) -> None:
        there = target.execute(rows.ID_OF, (uid,)).fetchone()
        if there is None:  # the target has a newer chat with the same chat_id
            return
        (new_id,) = there
        webhooks, _ = self._read(rows.RESCUE_WEBHOOK, id_)
        target.execute(rows.CREATE_WEBHOOK, (new_id, webhooks[0][0] if webhooks else 0))
        entries, _ = self._read(rows.RESCUE_ENTRIES, id_)
        target.executemany(rows.PUT_BACK_ENTRY, [(new_id, *entry) for entry in entries])

    def _read_ids(self, statement: str, *parameters: int) -> tuple[list[int], bool]:
        found, damaged = self._read(statement, *parameters)
        return [id_ for (id_,) in found], damaged

    def _read(self, statement: str, *parameters: str | int) -> tuple[Sequence[tuple[Any, ...]], bool]:
        """Return the rows until the first error, and True if there was one."""
        found: list[tuple[Any, ...]] = []
        try:
            for row in self._source.execute(statement, parameters):
                found.append(row)  # noqa: PERF402 (rows before an error are kept)
        except (sqlite3.Error, OverflowError):
            return found, True
        return found, False
