"""The one task that writes the chats, in the order of their changes. Items that gather while it waits go together."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError

from sipbridge.chats.model import ChatState
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows
from sipbridge.store.chats.items import Change, Creation, Erasure, Item, Result
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import CHANGE_CHAT, CREATE_CHAT, ERASE_CHATS, MARK_DELIVERED, Argument, Command
from sipbridge.store.redis.server import Server

logger = logging.getLogger(__name__)

BATCH = 100  # items per round trip
WRITE_SECONDS = 2.0  # for a round trip
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 3.0
DELIVERED_SECONDS = 0.2  # between writes of the positions of webhooks
# A chat in progress expires if nothing has happened in it for this long beyond the retention.
OPEN_RETENTION = timedelta(days=7)

_REFUSALS = {
    "unknown": "chat {} is not stored",
    "superseded": "change refused: another node has taken chat {} over",
    "early": "an earlier change of chat {} is not stored",
    "repeated": "chat {} has an event with that sequence",
}


class Writer:
    """The task that writes items, and resolves their futures. `owner` returns the present epoch of the node.

    It writes under the node's term, and chats that were taken over from another node under a term of their own.

    When Redis does not respond, it may have written what it was sent. So that batch is repeated until Redis responds,
    with the same revisions, which Redis accepts once; its futures stay open. Further items fail at once meanwhile.
    """

    def __init__(self, server: Server, owner: Callable[[], str], term: int, retention: timedelta) -> None:
        self._server = server
        self._owner = owner
        self._term = term
        self._own_terms: dict[str, int] = {}
        self._retention_ms = max(1, round(retention.total_seconds() * 1000))
        self._open_retention_ms = self._retention_ms + round(OPEN_RETENTION.total_seconds() * 1000)
        self._revision = 0
        self._queue: deque[tuple[Item, Command]] = deque()
        self._delivered: dict[str, int] = {}
        self._failing_since: float | None = None
        self._failure = ""
        self._wake = asyncio.Event()
        self._closing_at: float | None = None
        self._task = asyncio.create_task(self._run(), name="chats-writer")

    def use_term(self, uid: str, term: int) -> None:
        """Write a chat that was taken under this term until it is over."""
        if term > self._term:
            self._own_terms[uid] = term

    def submit(self, item: Item) -> None:
        """Queue an item."""
        if self._failing_since is not None:
            item.done.set_exception(StoreError(self._failure))
            return
        self._revision += 1
        self._queue.append((item, self._command(item, self._revision)))
        self._wake.set()

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note the position of a webhook. It is written within `DELIVERED_SECONDS`."""
        if not self._delivered:
            asyncio.get_running_loop().call_later(DELIVERED_SECONDS, self._wake.set)
        self._delivered[uid] = max(sequence, self._delivered.get(uid, 0))

    async def close(self) -> None:
        """Write what is queued for at most `CLOSE_SECONDS`, and end."""
        self._closing_at = asyncio.get_running_loop().time()
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while self._queue or self._closing_at is None:
            if not self._queue:
                await self._wake.wait()
            self._wake.clear()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if batch:
                await self._write(batch)
            if not self._queue:
                await self._write_delivered()

    async def _write(self, batch: Sequence[tuple[Item, Command]]) -> None:
        """Write items until Redis has responded, and resolve their futures."""
        while True:
            try:
                results = await self._server.run([command for _, command in batch], seconds=WRITE_SECONDS)
            except StoreError as error:
                self._note_failure(error)
            else:
                break
            if self._must_end():
                for item, _ in batch:
                    _resolve(item, StoreError(self._failure))
                return
            await asyncio.sleep(RETRY_SECONDS / 10 if self._closing_at else RETRY_SECONDS)
        self._note_success()
        for (item, _), result in zip(batch, results, strict=True):
            outcome = _result(item, result)
            if isinstance(item, Change) and outcome is None and item.ends_chat:
                self._own_terms.pop(item.uid, None)
            _resolve(item, outcome)

    async def _write_delivered(self) -> None:
        """Write the positions of webhooks. What fails is written later."""
        marks, self._delivered = self._delivered, {}
        if not marks:
            return
        undelivered = keys.CHATS_UNDELIVERED + self._owner()
        commands = [
            MARK_DELIVERED.command((keys.CHAT + uid, keys.CHAT_EVENTS + uid, undelivered), uid, sequence)
            for uid, sequence in marks.items()
        ]
        try:
            await self._server.run(commands, seconds=WRITE_SECONDS)
        except StoreError:
            for uid, sequence in marks.items():
                self.mark_delivered(uid, sequence)

    def _must_end(self) -> bool:
        return self._closing_at is not None and asyncio.get_running_loop().time() > self._closing_at + CLOSE_SECONDS

    # ------------------------------------------------------------ commands

    def _command(self, item: Item, revision: int) -> Command:
        if isinstance(item, Creation):
            return self._create(item.row, revision)
        if isinstance(item, Change):
            return self._change(item, revision)
        return _erase(item)

    def _create(self, row: rows.ChatRow, revision: int) -> Command:
        project, owner = keys.project_part(row.client, row.project), self._owner()
        return CREATE_CHAT.command(
            (
                keys.CHAT + row.uid,
                f"{keys.CHAT_IDS}{project}:{row.chat_id}",
                keys.CHATS + project,
                f"{keys.CHATS_SHARED}{project}:{row.shared_id}",
                keys.CHATS_OPEN + owner,
                keys.TERMS,
                keys.RESCUE + owner,
            ),
            *(self._term, revision, row.uid, project, row.chat_id, row.shared_id, row.started_at, row.body),
            *(self._open_retention_ms, keys.CHAT),
        )

    def _change(self, item: Change, revision: int) -> Command:
        uid, row, owner = item.uid, item.row, self._owner()
        term = self._own_terms.get(uid, self._term)
        record: tuple[Argument, ...] = (0, "", 0, "")
        if row:
            record = (1, row.shared_id, int(ChatState(row.state).is_final), row.body)
        prefixes = (keys.CHAT, keys.CHAT_ENTRIES, keys.CHAT_EVENTS, keys.CHAT_FILES)
        return CHANGE_CHAT.command(
            [*(prefix + uid for prefix in prefixes), keys.CHATS_OPEN + owner, keys.CHATS_UNDELIVERED + owner],
            *(term, revision, uid, item.step or 0, self._open_retention_ms, self._retention_ms),
            *(keys.CHAT_IDS, keys.CHATS, keys.CHATS_SHARED),
            *record,
            *(value for entry in item.entries for value in _entry(entry)),
        )

    # ------------------------------------------------------------ failures

    def _note_failure(self, error: StoreError) -> None:
        self._failure = f"the store could not be written: {error}"
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
            logger.warning("%s; chats cannot go on", self._failure, extra={"event": "chat_store_failing"})
        while self._queue:
            item, _ = self._queue.popleft()
            _resolve(item, StoreError(self._failure))

    def _note_success(self) -> None:
        if self._failing_since is not None:
            seconds = round(asyncio.get_running_loop().time() - self._failing_since, 1)
            self._failing_since = None
            logger.warning(
                "the store of chats recovered after %g s",
                seconds,
                extra={"event": "chat_store_working", "seconds": seconds},
            )


def _entry(entry: rows.EntryRow) -> tuple[Argument, Argument, Argument]:
    if entry.kind == rows.Kind.EVENT:
        return "event", entry.number or 0, entry.body
    if entry.kind == rows.Kind.ATTACHMENT:
        return "file", entry.number or 0, entry.body
    return int(entry.kind), 0, entry.body


def _erase(item: Erasure) -> Command:
    project = keys.project_part(item.client, item.project)
    prefix = keys.CHAT_IDS if item.column == "chat_id" else keys.CHATS_SHARED
    return ERASE_CHATS.command(
        (keys.CHATS + project, f"{prefix}{project}:{item.value}"),
        *(item.column, project, keys.CHAT, keys.CHAT_ENTRIES, keys.CHAT_EVENTS, keys.CHAT_FILES),
        *(keys.CHAT_IDS, keys.CHATS_SHARED),
    )


def _result(item: Item, result: Any) -> Result:  # noqa: ANN401 (the response of a script)
    if isinstance(result, RedisError):
        return StoreError(f"the store could not be written: {result}")
    if isinstance(item, Creation):
        return _created(item, result)
    if isinstance(item, Change):
        return None if result == "written" else StoreError(_REFUSALS[result].format(item.uid))
    return int(result)


def _created(item: Creation, body: str | None) -> Result:
    if body is None:
        return StoreError(f"there is another chat {item.row.uid}")
    try:
        return item.record if body == item.row.body else rows.to_record(body)
    except StoreError as error:
        return error


def _resolve(item: Item, result: Result) -> None:
    if item.done.done():
        return
    if isinstance(result, StoreError):
        item.done.set_exception(result)
    else:
        item.done.set_result(result)
