"""The reads of chats, on separate threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from sipbridge.chats.model import AttachmentFile, ChatEvent, ChatRecord
from sipbridge.chats.ports import StoredChat
from sipbridge.errors import StoreError
from sipbridge.store.bodies import END_OF_TIME, microseconds
from sipbridge.store.chats import rows
from sipbridge.store.sqlite.database import Database
from sipbridge.store.sqlite.read_threads import ReadThreads

logger = logging.getLogger(__name__)


class Reader:
    """Finds chats. Methods raise `StoreError`. `suspect` is called if the file seems corrupt.

    What goes on with the chats of an earlier run gets an error, and not a part, while an abandoned file is copied.
    """

    def __init__(self, database: Database, suspect: Callable[[], None]) -> None:
        self._threads = ReadThreads(database, suspect)

    async def get(self, client: str, project: str, chat_id: str) -> ChatRecord | None:
        """Return the record of a chat."""
        return await self._threads.run(lambda: self._first(rows.GET, client, project, chat_id))

    async def get_shared(self, client: str, project: str, shared_id: str) -> ChatRecord | None:
        """Return the newest record with that shared id."""
        return await self._threads.run(lambda: self._first(rows.GET_SHARED, client, project, shared_id))

    async def list_chats(self, client: str, project: str, *, limit: int, before: datetime | None) -> list[ChatRecord]:
        """Return records of a project that started before `before`, newest first."""
        until = microseconds(before) if before else END_OF_TIME

        def read() -> list[ChatRecord]:
            return [rows.to_record(body) for (body,) in self._threads.select(rows.LIST, client, project, until, limit)]

        return await self._threads.run(read)

    async def read(self, uid: str) -> StoredChat | None:
        """Return a chat with all its entries."""
        return await self._threads.run(lambda: rows.to_chat(self._parts(rows.READ, uid)))

    async def events(self, uid: str, *, after: int, limit: int) -> list[ChatEvent]:
        """Return the events with a sequence over `after`, in their order."""

        def read() -> list[ChatEvent]:
            return [rows.to_event(body) for (body,) in self._threads.select(rows.EVENTS, uid, after, limit)]

        return await self._threads.run(read)

    async def attachment(self, uid: str, attachment_id: str) -> AttachmentFile | None:
        """Return a file of the human agent."""

        def read() -> AttachmentFile | None:
            found = list(self._threads.select(rows.ATTACHMENT, uid, rows.attachment_number(attachment_id)))
            return rows.to_attachment(found[0][0]) if found else None

        return await self._threads.run(read)

    async def unfinished(self) -> list[StoredChat]:
        """Return the chats that are not over, oldest first. One that cannot be read is left out."""

        def read() -> list[StoredChat]:
            chats = groupby(self._parts(rows.UNFINISHED, needs_all=True), key=attrgetter("uid"))
            return [chat for uid, parts in chats if (chat := _readable(uid, list(parts)))]

        return await self._threads.run(read)

    async def undelivered(self) -> list[tuple[ChatRecord, int]]:
        """Return the chats with events that the webhook did not get yet, each with the last sequence that it got."""

        def read() -> list[tuple[ChatRecord, int]]:
            found = self._threads.select(rows.UNDELIVERED, needs_all=True)
            return [(rows.to_record(body), sequence) for body, sequence in found]

        return await self._threads.run(read)

    def close(self) -> None:
        """Finish the reads in progress and close. Blocks."""
        self._threads.close()

    def _first(self, statement: str, *parameters: str) -> ChatRecord | None:
        found = list(self._threads.select(statement, *parameters))
        return rows.to_record(found[0][0]) if found else None

    def _parts(self, statement: str, *parameters: str, needs_all: bool = False) -> list[rows.Part]:
        return [rows.Part(*values) for values in self._threads.select(statement, *parameters, needs_all=needs_all)]


def _readable(uid: str, parts: list[rows.Part]) -> StoredChat | None:
    try:
        return rows.to_chat(parts)
    except StoreError as error:
        logger.error("chat %s cannot go on: %s", uid, error, extra={"event": "chat_unreadable", "uid": uid})  # noqa: TRY400 (an expected error)
        return None
