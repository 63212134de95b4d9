"""Chats for tests of any package."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sipbridge.chats.model import (
    BotMessage,
    ChatEvent,
    ChatEventType,
    ChatRecord,
    ChatState,
    Customer,
    Delivery,
    DeliveryStatus,
)
from sipbridge.chats.ports import ChatChange, ChatEntry, ChatStore, StoredChat
from tests.store.records import START, make_handoff


def uid_of(chat_id: str) -> str:
    """Return our id of a chat of these tests."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, chat_id))


def make_chat(chat_id: str = "chat-1", **changes: Any) -> ChatRecord:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {
        "uid": uid_of(chat_id),
        "chat_id": chat_id,
        "client": "acme",
        "project": "support",
        "channel": "web",
        "digest": "d1",
        "customer": Customer(id="c-7", first_name="Ada"),
        "state": ChatState.REQUESTED,
        "started_at": START,
        "handoff": make_handoff(shared_id=chat_id),
    }
    return ChatRecord(**fields | changes)


def make_message(number: int = 1, **changes: Any) -> BotMessage:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {"id": f"m-{number}", "text": f"message {number}", "at": START}
    return BotMessage(**fields | changes)


def make_delivery(number: int = 1, **changes: Any) -> Delivery:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {"id": f"m-{number}", "status": DeliveryStatus.DELIVERED, "at": START}
    return Delivery(**fields | changes)


def make_event(sequence: int | None = 1, chat_id: str = "chat-1", **changes: Any) -> ChatEvent:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {
        "id": f"{chat_id}-{sequence}",
        "sequence": sequence,
        "chat_id": chat_id,
        "type": ChatEventType.AGENT_MESSAGE,
        "at": START + timedelta(seconds=sequence or 0),
        "payload": {"text": f"event {sequence}"},
    }
    return ChatEvent(**fields | changes)


def change(
    *entries: ChatEntry, of: str = "chat-1", record: ChatRecord | None = None, step: int | None = None
) -> ChatChange:
    """Return a change of the chat with that id."""
    return ChatChange(uid_of(of), record, entries, step)


def ended(chat_id: str = "chat-1", **changes: Any) -> ChatRecord:  # noqa: ANN401 (any field)
    """Return the record of a chat that is over."""
    return make_chat(chat_id, state=ChatState.ENDED, ended_at=START + timedelta(minutes=5), **changes)


async def read(store: ChatStore, chat_id: str = "chat-1") -> StoredChat:
    chat = await store.read(uid_of(chat_id))
    assert chat
    return chat
