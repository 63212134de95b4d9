"""A chat store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from sipbridge.chats.model import AttachmentFile, BotMessage, ChatEvent, ChatRecord, Delivery, EndRequest
from sipbridge.chats.ports import ChatChange, ChatEntry, ChatStore, StoredChat
from sipbridge.errors import NotStorable, StoreError
from sipbridge.store.chats.items import Change, refused
from tests.fakes.journal import Journal


@dataclass
class _Chat:
    record: ChatRecord
    entries: list[ChatEntry] = field(default_factory=list)
    webhook_sequence: int = 0
    step: int = 0

    @property
    def events(self) -> list[tuple[int, ChatEvent]]:
        """The events with their sequences, in the order in which they were added."""
        events = [entry for entry in self.entries if isinstance(entry, ChatEvent)]
        return [(event.sequence, event) for event in events if event.sequence is not None]


class FakeChatStore:
    """Implements `ChatStore`. Its steps are `chats.create`, `chats.write` and `chats.close`.

    `changes` has every change that was written. While `failing` is set, `create` and `write` raise it.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.changes: list[ChatChange] = []
        self.failing: Exception | None = None
        self._journal = journal or Journal()
        self._chats: dict[str, _Chat] = {}

    async def create(self, record: ChatRecord) -> ChatRecord:
        await self._reach("chats.create")
        stored = self._find(record.client, record.project, record.chat_id)
        if stored:
            return stored.record
        self._chats[record.uid] = _Chat(record)
        return record

    def write(self, change: ChatChange) -> asyncio.Future[None]:
        return refusal_of(change) or asyncio.ensure_future(self._write(change))

    async def _write(self, change: ChatChange) -> None:
        await self._reach("chats.write")
        chat = self._chats.get(change.uid)
        if chat is None:
            raise StoreError(f"chat {change.uid} is not stored")
        if change.step is not None:
            if change.step not in (chat.step + 1, 1):  # the first one of another run
                raise StoreError(f"an earlier change of chat {change.uid} is not stored")
            chat.step = change.step
        chat.record = change.record or chat.record
        chat.entries += change.entries
        self.changes.append(change)

    async def get(self, client: str, project: str, chat_id: str) -> ChatRecord | None:
        chat = self._find(client, project, chat_id)
        return chat.record if chat else None

    async def get_shared(self, client: str, project: str, shared_id: str) -> ChatRecord | None:
        return next((record for record in self._of(client, project) if record.shared_id == shared_id), None)

    async def list_chats(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[ChatRecord]:
        return [r for r in self._of(client, project) if before is None or r.started_at < before][:limit]

    async def read(self, uid: str) -> StoredChat | None:
        chat = self._chats.get(uid)
        return _stored(chat) if chat else None

    async def events(self, uid: str, *, after: int, limit: int = 500) -> list[ChatEvent]:
        chat = self._chats.get(uid)
        return [event for sequence, event in chat.events if sequence > after][:limit] if chat else []

    def follow(
        self,
        uid: str,  # noqa: ARG002 (as the port)
        listener: Callable[[Sequence[ChatEvent]], Awaitable[None]],  # noqa: ARG002 (as the port)
    ) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def attachment(self, uid: str, attachment_id: str) -> AttachmentFile | None:
        chat = self._chats.get(uid)
        files = [entry for entry in chat.entries if isinstance(entry, AttachmentFile)] if chat else []
        return next((file for file in files if file.id == attachment_id), None)

    async def unfinished(self, without: Collection[str] = ()) -> list[StoredChat]:
        chats = [chat for uid, chat in self._chats.items() if uid not in without]
        return [_stored(chat) for chat in chats if not chat.record.state.is_final]

    async def undelivered(self, among: Collection[str] | None = None) -> list[tuple[ChatRecord, int]]:
        return [
            (chat.record, chat.webhook_sequence)
            for chat in self._chats.values()
            if any(sequence > chat.webhook_sequence for sequence, _ in chat.events)
            and (among is None or chat.record.uid in among)
        ]

    def mark_delivered(self, uid: str, sequence: int) -> None:
        chat = self._chats.get(uid)
        if chat:
            chat.webhook_sequence = max(chat.webhook_sequence, sequence)

    async def delete(self, client: str, project: str, chat_id: str) -> bool:
        return bool(self._forget([r for r in self._of(client, project) if r.chat_id == chat_id]))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        return self._forget([r for r in self._of(client, project) if r.shared_id == shared_id])

    async def close(self) -> None:
        await self._journal.reach("chats.close")

    async def _reach(self, step: str) -> None:
        await self._journal.reach(step)
        if self.failing is not None:
            raise self.failing

    def _find(self, client: str, project: str, chat_id: str) -> _Chat | None:
        key = (client, project, chat_id)
        chats = self._chats.values()
        return next((c for c in chats if (c.record.client, c.record.project, c.record.chat_id) == key), None)

    def _of(self, client: str, project: str) -> list[ChatRecord]:
        """Return the records of a project, newest first."""
        records = [chat.record for chat in self._chats.values()]
        of_project = [record for record in records if (record.client, record.project) == (client, project)]
        return sorted(of_project, key=lambda record: record.started_at, reverse=True)

    def _forget(self, records: list[ChatRecord]) -> int:
        over = [record for record in records if record.state.is_final]
        for record in over:
            del self._chats[record.uid]
        return len(over)


def _stored(chat: _Chat) -> StoredChat:
    entries = chat.entries
    return StoredChat(
        record=chat.record,
        messages=[entry for entry in entries if isinstance(entry, BotMessage)],
        deliveries={entry.id: entry for entry in entries if isinstance(entry, Delivery)},
        end_request=next((entry for entry in entries if isinstance(entry, EndRequest)), None),
        events=[event for _, event in chat.events],
    )


def refusal_of(change: ChatChange) -> asyncio.Future[None] | None:
    """Return the result of a change that can never be stored, as the real stores."""
    try:
        Change.of(change)
    except NotStorable as error:
        return refused(error)
    return None


def _implements(store: FakeChatStore) -> ChatStore:
    return store
