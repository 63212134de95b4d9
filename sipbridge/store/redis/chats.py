"""The chats in Redis, shared by all nodes. Each node has an index of those that it carries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Self

from sipbridge.chats.model import AttachmentFile, ChatEvent, ChatRecord
from sipbridge.chats.ports import ChatChange, StoredChat
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store.bodies import END_OF_TIME, microseconds
from sipbridge.store.chats import rows
from sipbridge.store.chats.items import Change, Creation, Erasure, refused
from sipbridge.store.redis import keys
from sipbridge.store.redis.chat_writer import Writer
from sipbridge.store.redis.checks import check_and_take_term
from sipbridge.store.redis.scripts import READ_CHAT, Command
from sipbridge.store.redis.server import Server
from sipbridge.store.redis.streams import StreamEntry, Streams
from sipbridge.store.results import result_of
from sipbridge.store.start_wait import StartWait
from sipbridge.store.tail import Tail

logger = logging.getLogger(__name__)

START_SECONDS = 10.0  # for a round trip when all chats of the last run are read
PAGE = 50  # chats per round trip


class RedisChatStore:
    """A `ChatStore` in Redis, of one node, whose present epoch `owner` returns. Belongs to one event loop.

    A chat expires `retention` after its last change, once it is over.
    """

    def __init__(self, server: Server, owner: Callable[[], str], term: int, retention: timedelta) -> None:
        self._server = server
        self._owner = owner
        self._writer = Writer(server, owner, term, retention)
        self._tail = Tail[str, StreamEntry](Streams(server))
        self._closed = False

    @classmethod
    async def open(
        cls, url: RedisUrl, owner: Callable[[], str], *, retention: timedelta, wait: StartWait | None = None
    ) -> Self:
        """Connect. Raises `ConfigError` if Redis cannot be used."""
        server = Server(url)
        try:
            return cls(server, owner, await check_and_take_term(server, url, wait), retention)
        except BaseException:
            await server.close()
            raise

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
        [uid] = await self._run(("GET", f"{keys.CHAT_IDS}{keys.project_part(client, project)}:{chat_id}"))
        return next(iter(await self._records([uid])), None) if uid else None

    async def get_shared(self, client: str, project: str, shared_id: str) -> ChatRecord | None:
        """Return the newest record with that shared id."""
        index = f"{keys.CHATS_SHARED}{keys.project_part(client, project)}:{shared_id}"
        return next(iter(await self._select(index, END_OF_TIME, 1)), None)

    async def list_chats(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[ChatRecord]:
        """Return records of a project that started before `before`, newest first."""
        until = microseconds(before) if before else END_OF_TIME
        return await self._select(keys.CHATS + keys.project_part(client, project), until, limit)

    async def read(self, uid: str) -> StoredChat | None:
        """Return a chat with all its entries."""
        [parts] = await self._run(_read_command(uid))
        return _to_chat(uid, parts)

    async def events(self, uid: str, *, after: int, limit: int = 500) -> list[ChatEvent]:
        """Return the events with a sequence over `after`, in their order."""
        [found] = await self._run(("XRANGE", keys.CHAT_EVENTS + uid, f"({after}-0", "+", "COUNT", limit))
        return [rows.to_event(fields["event"]) for _, fields in found]

    def follow(
        self, uid: str, listener: Callable[[Sequence[ChatEvent]], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]:
        """Pass on the events of a chat that are added while the block runs. Raises `StoreError`."""

        async def pass_on(found: Sequence[StreamEntry]) -> None:
            await listener([rows.to_event(each.fields["event"]) for each in found])

        return self._tail.follow(keys.CHAT_EVENTS + uid, pass_on)

    async def attachment(self, uid: str, attachment_id: str) -> AttachmentFile | None:
        """Return a file of the human agent."""
        [body] = await self._run(("HGET", keys.CHAT_FILES + uid, rows.attachment_number(attachment_id)))
        return rows.to_attachment(body) if body else None

    async def unfinished(self, without: Collection[str] = ()) -> list[StoredChat]:
        """Return the chats of this node that are not over, oldest first. One that cannot be read is left out."""
        [found] = await self._run(("ZRANGE", keys.CHATS_OPEN + self._owner(), 0, -1))
        uids = [uid for uid in found if uid not in without]
        results = await self._run_paged([_read_command(uid) for uid in uids])
        chats = []
        for uid, parts in zip(uids, results, strict=True):
            chat = _readable(uid, parts)
            if chat is not None and not chat.record.state.is_final:
                self._writer.use_term(uid, int(parts[1]))
                chats.append(chat)
        return chats

    async def undelivered(self, among: Collection[str] | None = None) -> list[tuple[ChatRecord, int]]:
        """Return the chats of this node with events that the webhook did not get yet, each with the last that it got.

        A chat is one of this node if the node has written the last of its events, or has taken it over.
        """
        [found] = await self._run(("SMEMBERS", keys.CHATS_UNDELIVERED + self._owner()))
        uids = [uid for uid in found if among is None or uid in among]
        results = await self._run_paged([("HMGET", keys.CHAT + uid, "body", "delivered") for uid in uids])
        return [(rows.to_record(body), int(delivered)) for body, delivered in results if body]

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note that the webhook has got the events up to this sequence. Written within `DELIVERED_SECONDS`."""
        if not self._closed:
            self._writer.mark_delivered(uid, sequence)

    async def delete(self, client: str, project: str, chat_id: str) -> bool:
        """Erase a chat that is over; return False if there is none."""
        return bool(await self._erase(client, project, "chat_id", chat_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all chats that are over with that shared id; return their number."""
        return await self._erase(client, project, "shared_id", shared_id)

    async def close(self) -> None:
        """Write what is queued within a time limit, and close."""
        if self._closed:
            return
        self._closed = True
        await self._tail.close()
        await self._writer.close()
        await self._server.close()

    async def _erase(self, client: str, project: str, column: str, value: str) -> int:
        self._check_open()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer.submit(Erasure(client, project, column, value, done))
        return await result_of(done)

    async def _select(self, index: str, until: int, limit: int) -> list[ChatRecord]:
        """Return the first records of an index, newest first."""
        found: list[ChatRecord] = []
        for first in range(0, END_OF_TIME, PAGE):
            [uids] = await self._run(
                ("ZRANGE", index, f"({until}", "-inf", "BYSCORE", "REV", "LIMIT", first, PAGE),
            )
            found += await self._records(uids)
            if len(found) >= limit or len(uids) < PAGE:
                break
        return found[:limit]

    async def _records(self, uids: list[str]) -> list[ChatRecord]:
        """Return the records that have not expired."""
        results = await self._run(*(("HGET", keys.CHAT + uid, "body") for uid in uids))
        return [rows.to_record(body) for body in results if body]

    async def _run_paged(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands that may be very many, as at the start."""
        pages = [commands[first : first + PAGE] for first in range(0, len(commands), PAGE)]
        return [each for page in pages for each in await self._run(*page, seconds=START_SECONDS)]

    async def _run(self, *commands: Command, seconds: float | None = None) -> list[Any]:
        self._check_open()
        if not commands:
            return []
        return await self._server.read(commands, seconds=seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _read_command(uid: str) -> Command:
    return READ_CHAT.command((keys.CHAT + uid, keys.CHAT_ENTRIES + uid, keys.CHAT_EVENTS + uid))


def _to_chat(uid: str, parts: list[Any]) -> StoredChat | None:
    if not parts:
        return None
    body, _, entries, events = parts
    split = [entry.partition(":") for entry in entries]
    return rows.to_chat(
        [
            rows.Part(uid, rows.Kind.RECORD, body),
            *(rows.Part(uid, int(kind), text) for kind, _, text in split),
            *(rows.Part(uid, rows.Kind.EVENT, event) for event in events),
        ]
    )


def _readable(uid: str, parts: list[Any]) -> StoredChat | None:
    try:
        return _to_chat(uid, parts)
    except StoreError as error:
        logger.error("chat %s cannot go on: %s", uid, error, extra={"event": "chat_unreadable", "uid": uid})  # noqa: TRY400 (an expected error)
        return None
