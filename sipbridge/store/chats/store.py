"""The chats of one node: a SQLite file, one thread that writes it, one that syncs it and two that read it.

Changes of a moment are committed together. A commit does not wait for the disk, so that the chats do not wait for each
other, nor for the records of calls, which are in another file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path

from sipbridge.chats.model import AttachmentFile, ChatEvent, ChatRecord
from sipbridge.chats.ports import ChatChange, StoredChat
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows
from sipbridge.store.chats.items import Change, Creation, Erasure, refused
from sipbridge.store.chats.reader import Reader
from sipbridge.store.chats.rescue import ChatRescue
from sipbridge.store.chats.schema import SCHEMA
from sipbridge.store.chats.writer import DELIVERED_SECONDS, Writer
from sipbridge.store.results import result_of
from sipbridge.store.sqlite.database import open_database
from sipbridge.store.sqlite.retention import Retention

PURGE_CHATS = 20  # per step, between changes: each has many entries


class SqliteChatStore:
    """A `ChatStore` in a file. Raises `StartupError` if the file cannot be used or is in use by another process.

    Belongs to one event loop. Chats that have been over for `retention` are deleted at the start and hourly.
    """

    def __init__(self, path: Path, *, retention: timedelta) -> None:
        self._database, self._lock = open_database(path, SCHEMA, ChatRescue)
        with suppress(sqlite3.Error):  # the writer tries again, and `unfinished` fails until it is done
            self._database.rescue_all()  # the chats in progress have to go on
        self._writer = Writer(self._database, Retention(retention, rows.AGES, PURGE_CHATS))
        self._reader = Reader(self._database, self._writer.suspect)
        self._wake_scheduled = False
        self._closed = False

    async def create(self, record: ChatRecord) -> ChatRecord:
        """Write a new chat; return it, or the chat of the same client, project and `chat_id` if there is one."""
        self._check_open()
        creation = Creation.of(record)
        self._writer.submit(creation)
        stored: ChatRecord = await result_of(creation.done)
        return stored

    def write(self, change: ChatChange) -> asyncio.Future[None]:
        """Write a change; await the result. Changes are written in the order in which this was called."""
        try:
            self._check_open()
            item = Change.of(change)
        except StoreError as error:
            return refused(error)
        self._writer.submit(item)
        return item.done

    async def get(self, client: str, project: str, chat_id: str) -> ChatRecord | None:
        """Return the record of a chat."""
        self._check_open()
        return await self._reader.get(client, project, chat_id)

    async def get_shared(self, client: str, project: str, shared_id: str) -> ChatRecord | None:
        """Return the newest record with that shared id."""
        self._check_open()
        return await self._reader.get_shared(client, project, shared_id)

    async def list_chats(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[ChatRecord]:
        """Return records of a project that started before `before`, newest first."""
        self._check_open()
        return await self._reader.list_chats(client, project, limit=limit, before=before)

    async def read(self, uid: str) -> StoredChat | None:
        """Return a chat with all its entries."""
        self._check_open()
        return await self._reader.read(uid)

    async def events(self, uid: str, *, after: int, limit: int = 500) -> list[ChatEvent]:
        """Return the events with a sequence over `after`, in their order."""
        self._check_open()
        return await self._reader.events(uid, after=after, limit=limit)

    def follow(
        self,
        uid: str,  # noqa: ARG002 (as the port)
        listener: Callable[[Sequence[ChatEvent]], Awaitable[None]],  # noqa: ARG002 (as the port)
    ) -> AbstractAsyncContextManager[None]:
        """Do nothing: no other process has chats in this file."""
        return nullcontext()

    async def attachment(self, uid: str, attachment_id: str) -> AttachmentFile | None:
        """Return a file of the human agent."""
        self._check_open()
        return await self._reader.attachment(uid, attachment_id)

    async def unfinished(self, without: Collection[str] = ()) -> list[StoredChat]:
        """Return the chats that are not over, oldest first. One that cannot be read is left out, and logged."""
        self._check_open()
        return [chat for chat in await self._reader.unfinished() if chat.record.uid not in without]

    async def undelivered(self, among: Collection[str] | None = None) -> list[tuple[ChatRecord, int]]:
        """Return the chats with events that the webhook did not get yet, each with the last sequence that it got."""
        self._check_open()
        found = await self._reader.undelivered()
        return [each for each in found if among is None or each[0].uid in among]

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note that the webhook has got the events up to this sequence. Written within `DELIVERED_SECONDS`."""
        if self._closed:
            return
        self._writer.mark_delivered(uid, sequence)
        if not self._wake_scheduled:
            self._wake_scheduled = True
            asyncio.get_running_loop().call_later(DELIVERED_SECONDS, self._wake_writer)

    def _wake_writer(self) -> None:
        # The flag first: a mark from now on schedules its own wake, so that none is missed.
        self._wake_scheduled = False
        self._writer.wake()

    async def delete(self, client: str, project: str, chat_id: str) -> bool:
        """Erase a chat that is over and overwrite its text in the file; return False if there is none."""
        return bool(await self._erase(client, project, "chat_id", chat_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all chats that are over with that shared id in the same way; return their number."""
        return await self._erase(client, project, "shared_id", shared_id)

    async def _erase(self, client: str, project: str, column: str, value: str) -> int:
        self._check_open()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer.submit(Erasure(client, project, column, value, done))
        return await result_of(done)

    async def close(self) -> None:
        """Write what is queued and close."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._database.close()  # the last connection moves the log into the file
        self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
