"""The conversation of a call or chat: before the handoff, and in a chat also after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from sipbridge.chats.model import Attachment, ChatEvent, ChatEventType, ChatTurn
from sipbridge.chats.ports import StoredChat


def turns_of_chat(stored: StoredChat) -> tuple[ChatTurn, ...]:
    """Return the transcript, and the messages that reached the other side since then, in the order of their events.

    That order never changes, so a page that has the first ones needs the rest only.
    """
    return (*stored.record.transcript, *_since_handoff(stored))


def _since_handoff(stored: StoredChat) -> Iterator[ChatTurn]:
    sent = {message.id: message for message in stored.messages}
    for event in stored.events:
        if event.type is ChatEventType.AGENT_MESSAGE:
            attachments = [Attachment.model_validate(each) for each in event.payload["attachments"]]
            yield _turn("agent", event.payload["text"], attachments, event)
        elif event.type is ChatEventType.MESSAGE_DELIVERED and event.payload["id"] in sent:
            message = sent[event.payload["id"]]
            yield _turn("customer", message.text, message.attachments, event)


def _turn(
    role: Literal["agent", "customer"], text: str, attachments: Sequence[Attachment], event: ChatEvent
) -> ChatTurn:
    """Return a message as a turn. Attachments are named only: their links may need a key."""
    lines = [text, *(f"[{each.name or each.media_type or 'file'}]" for each in attachments)]
    return ChatTurn.model_construct(role=role, text="\n".join(filter(None, lines)), at=event.at)
