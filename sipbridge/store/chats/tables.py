"""Writing and erasing the rows of chats."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sipbridge.chats.model import ChatRecord, ChatState
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows
from sipbridge.store.sqlite.database import Database

_MAX_ROWS = 256  # of one statement; a power of two


@dataclass(slots=True)
class Creation:
    """A new chat. `done` gets the record that is stored."""

    record: ChatRecord
    row: rows.ChatRow
    done: asyncio.Future[ChatRecord]


@dataclass(slots=True)
class Change:
    """A change of a chat: a new version of the record if it is not None, and entries."""

    uid: str
    record: ChatRecord | None
    row: rows.ChatRow | None
    entries: Sequence[rows.EntryRow]
    done: asyncio.Future[None]


@dataclass(slots=True)
class Erasure:
    """A request to erase the matching chats that are over. `done` gets their number."""

    client: str
    project: str
    column: str
    value: str
    done: asyncio.Future[int]


Result = ChatRecord | StoreError | None


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

    def write(self, items: Sequence[Creation | Change], delivered: Mapping[str, int], now: int) -> list[Result]:
        """Write in one transaction; return the result of each item. An item that names no chat changes nothing."""
        self.carry_over(now)
        with self._database.transaction() as connection:
            transaction = _Transaction(connection, self._in_progress, now)
            results = [transaction.add(item) for item in items]
            transaction.finish()
            if delivered:
                connection.executemany(rows.MARK_DELIVERED, [(sequence, uid) for uid, sequence in delivered.items()])
        self._in_progress.update(transaction.chats)
        for uid, chat in transaction.chats.items():
            if chat.is_over:
                del self._in_progress[uid]
        return results

    def erase(self, client: str, project: str, column: str, value: str) -> int:
        """Delete the chats of a project that are over and have this value; return their number."""
        self._database.rescue_all()  # a chat that is copied later would not be erased
        with self._database.transaction() as connection:
            erased = connection.execute(rows.DELETE[column], (client, project, value)).rowcount
        if erased:
            self._database.mark_erased()
        self._database.clear_log()
        return erased

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


class _Transaction:
    """Collects changes, so that few statements write them. `chats` are those that the changes concern."""

    def __init__(self, connection: sqlite3.Connection, in_progress: Mapping[str, _Chat], now: int) -> None:
        self.chats: dict[str, _Chat] = {}
        self._connection = connection
        self._in_progress = in_progress
        self._now = now
        self._newest: dict[int, rows.ChatRow] = {}
        self._entries: list[tuple[int, int, int, str]] = []

    def add(self, item: Creation | Change) -> Result:
        """Create a chat, or collect a change."""
        if isinstance(item, Creation):
            return self._create(item)
        chat = self._find(item.uid)
        if chat is None:
            return StoreError(f"chat {item.uid} is not stored")
        if item.record and item.row:
            chat.record, chat.is_over = item.record, item.record.state.is_final
            self._newest[chat.id] = item.row
        for entry in item.entries:
            number = entry.number
            if number is None:
                number = chat.number = chat.number + 1
            self._entries.append((chat.id, entry.kind, number, entry.body))
        return None

    def finish(self) -> None:
        """Write what was collected."""
        now = self._now
        if self._newest:
            newest = [(row.shared_id, row.state, row.body, now, id_) for id_, row in self._newest.items()]
            self._connection.executemany(rows.UPDATE, newest)
        start, size = 0, _MAX_ROWS
        while start < len(self._entries):
            # A few sizes, so that SQLite has compiled the statements already.
            while size > len(self._entries) - start:
                size //= 2
            values = [value for entry in self._entries[start : start + size] for value in entry]
            self._connection.execute(rows.insert_entries(size), values)
            start += size

    def _create(self, item: Creation) -> Result:
        row = item.row
        created = _create(self._connection, row, self._now)
        if created is not None:
            self.chats[row.uid] = _Chat(created, 0, item.record.state.is_final, item.record)
            return item.record
        found = self._connection.execute(rows.GET, (row.client, row.project, row.chat_id)).fetchone()
        try:
            return rows.to_record(found[0]) if found else StoreError(f"chat {row.uid} is another one's")
        except StoreError as error:
            return error

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


def _create(connection: sqlite3.Connection, row: rows.ChatRow, now: int) -> int | None:
    """Insert a chat; return its id in the file, or None if there is a chat with the same ids."""
    cursor = connection.execute(rows.CREATE, (*row, now))
    if not cursor.rowcount:
        return None
    connection.execute(rows.CREATE_WEBHOOK, (cursor.lastrowid, 0))
    return cursor.lastrowid
