"""Writing and erasing the rows of chats."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sipbridge.chats.model import ChatRecord, ChatState
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows
from sipbridge.store.chats.items import Change, Creation, Erasure, Result
from sipbridge.store.sqlite.database import Database

_MAX_ROWS = 64  # of one statement, so that SQLite keeps the compiled ones


@dataclass(slots=True)
class _Chat:
    """The id in the file, the number of the last entry that is not an event, and the record if we have written it."""

    id: int
    number: int
    is_over: bool
    record: ChatRecord | None = None


class Tables:
    """The tables of a file, for the thread that writes it. Methods raise `sqlite3.Error`, and write all or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generation = database.generation
        self._in_progress: dict[str, _Chat] = {}
        self._steps: dict[str, int] = {}  # the last one of each chat, also of one that is missing in a new file

    def create(self, creations: Sequence[Creation], now: int) -> list[Result]:
        """Write new chats in one transaction; return the result of each."""
        self.carry_over(now)
        created: dict[str, _Chat] = {}
        with self._database.transaction() as connection:
            results: list[Result] = []
            for creation in creations:
                row = creation.row
                id_ = _create(connection, row, now)
                if id_ is None:
                    results.append(_existing(connection, row))
                else:
                    results.append(creation.record)
                    created[row.uid] = _Chat(id_, 0, creation.record.state.is_final, creation.record)
        self._keep(created)
        return results

    def change(self, changes: Sequence[Change], now: int) -> list[Result]:
        """Write changes together; return the result of each.

        One of a chat that is not stored changes nothing, nor does one whose predecessor could not be written.
        """
        self.carry_over(now)
        collected = _Changes(self._database.connection, self._in_progress, self._steps)
        results: list[Result] = [collected.add(change) for change in changes]
        self._database.run(list(collected.statements(now)))
        self._steps.update(collected.steps)
        self._keep(collected.chats)
        return results

    def mark_delivered(self, sequences: Mapping[str, int]) -> None:
        """Write the positions of webhooks."""
        self._database.run([(rows.MARK_DELIVERED, (sequence, uid)) for uid, sequence in sequences.items()])

    def erase(self, erasures: Sequence[Erasure], _now: int) -> list[Result]:
        """Delete the chats of a project that are over and have the value; return the number for each erasure."""
        self._database.rescue_all()  # a chat that is copied later would not be erased
        numbers: list[Result] = []
        with self._database.transaction() as connection:
            for it in erasures:
                deleted = connection.execute(rows.DELETE[it.column], (it.client, it.project, it.value))
                numbers.append(deleted.rowcount)
        if any(numbers):
            self._database.mark_erased()
        self._database.clear_log()
        return numbers

    def carry_over(self, now: int) -> bool:
        """Copy the chats in progress to the file if it is new; return True if it is. Others follow step by step.

        The record of a chat that cannot be copied is written again. The chats have other ids in the new file.
        """
        generation = self._database.generation
        if generation == self._generation:
            return False
        self._database.rescue()
        with self._database.transaction() as connection:
            for chat in self._in_progress.values():
                if chat.record:
                    _create(connection, rows.to_row(chat.record), now)
            found = {uid: connection.execute(rows.ID_OF, (uid,)).fetchone() for uid in self._in_progress}
        self._in_progress = {uid: replace(self._in_progress[uid], id=ids[0]) for uid, ids in found.items() if ids}
        self._generation = generation
        return True

    def _keep(self, chats: Mapping[str, _Chat]) -> None:
        self._in_progress.update(chats)
        for uid, chat in chats.items():
            if chat.is_over:
                del self._in_progress[uid]
                self._steps.pop(uid, None)


class _Changes:
    """Collects changes, so that few statements write them. `chats` are those that they concern, `steps` their last."""

    def __init__(
        self, connection: sqlite3.Connection, in_progress: Mapping[str, _Chat], steps: Mapping[str, int]
    ) -> None:
        self.chats: dict[str, _Chat] = {}
        self.steps: dict[str, int] = {}
        self._connection = connection
        self._in_progress = in_progress
        self._steps = steps
        self._newest: dict[int, rows.ChatRow] = {}
        self._entries: list[tuple[int, int, int, str]] = []

    def add(self, change: Change) -> StoreError | None:
        """Collect a change."""
        chat = self._find(change.uid)
        if chat is None:
            return StoreError(f"chat {change.uid} is not stored")
        if change.step is not None:
            if change.step != self.steps.get(change.uid, self._steps.get(change.uid, 0)) + 1:
                return StoreError(f"an earlier change of chat {change.uid} is not stored")
            self.steps[change.uid] = change.step
        if change.record and change.row:
            chat.record, chat.is_over = change.record, change.record.state.is_final
            self._newest[chat.id] = change.row
        for entry in change.entries:
            number = entry.number
            if number is None:
                number = chat.number = chat.number + 1
            self._entries.append((chat.id, entry.kind, number, entry.body))
        return None

    def statements(self, now: int) -> Iterator[tuple[str, Sequence[str | int]]]:
        """Yield the statements and their parameters."""
        for id_, row in self._newest.items():
            yield rows.UPDATE, (row.shared_id, row.state, row.body, now, id_)
        for start in range(0, len(self._entries), _MAX_ROWS):
            entries = self._entries[start : start + _MAX_ROWS]
            yield rows.insert_entries(len(entries)), [value for entry in entries for value in entry]

    def _find(self, uid: str) -> _Chat | None:
        chat = self.chats.get(uid)
        if chat is None:
            known = self._in_progress.get(uid)
            chat = _Chat(known.id, known.number, known.is_over, known.record) if known else self._read(uid)
            if chat:
                self.chats[uid] = chat
        return chat

    def _read(self, uid: str) -> _Chat | None:
        found = self._connection.execute(rows.FIND, (uid,)).fetchone()
        return _Chat(found[0], number=found[2], is_over=ChatState(found[1]).is_final) if found else None


def _existing(connection: sqlite3.Connection, row: rows.ChatRow) -> Result:
    """Return the record that keeps a chat from being created."""
    found = connection.execute(rows.GET, (row.client, row.project, row.chat_id)).fetchone()
    try:
        return rows.to_record(found[0]) if found else StoreError(f"there is another chat {row.uid}")
    except StoreError as error:
        return error


def _create(connection: sqlite3.Connection, row: rows.ChatRow, now: int) -> int | None:
    """Insert a chat; return its id in the file, or None if there is a chat with the same ids."""
    cursor = connection.execute(rows.CREATE, (*row, now))
    if not cursor.rowcount:
        return None
    connection.execute(rows.CREATE_WEBHOOK, (cursor.lastrowid, 0))
    return cursor.lastrowid
