"""The schemas of responses about chats."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict

from sipbridge.chats.model import (
    Attachment,
    ChatEndedBy,
    ChatEventType,
    ChatRecord,
    ChatState,
    ChatTurn,
    Customer,
    DeliveryStatus,
    HumanAgent,
)
from sipbridge.chats.ports import StoredChat
from sipbridge.handoffs.outcome import Result
from sipbridge.web.api.schemas import AsJsonText, ChatHandoffDetail, ChatHandoffSummary, Moment, Schema


class AvailabilityResponse(Schema):
    """If human agents can take a chat now. `reason` says why it is not known, or why there are none."""

    status: Literal["online", "offline", "unknown"]
    channel: str
    agents_available: int | None = None
    queue_count: int | None = None
    reason: str | None = None


class ChatAccepted(Schema):
    """The chat has been requested."""

    id: str
    state: ChatState


class MessageAccepted(Schema):
    """The message is stored and will be handed over."""

    id: str


class ChatSummary(Schema):
    """A chat in a list."""

    id: str
    shared_id: str
    channel: str
    state: ChatState
    customer: Customer
    started_at: Moment
    queued_at: Moment | None
    active_at: Moment | None
    ended_at: Moment | None
    ended_by: ChatEndedBy | None
    result: Result | None
    reason: str
    agent: HumanAgent | None
    handoff: ChatHandoffSummary

    @classmethod
    def of(cls, record: ChatRecord) -> Self:
        """Convert a record."""
        return cls.model_validate(_chat(record, ChatHandoffSummary))


class ChatMessage(Schema):
    """A message of a chat. Messages to the human agent have a `delivery`, null until its fate is known."""

    id: str
    direction: Literal["to_agent", "to_bot"]
    at: Moment
    text: str
    attachments: tuple[Attachment, ...]
    agent: HumanAgent | None = None
    delivery: DeliveryStatus | None = None


class ChatDetail(ChatSummary):
    """All of a chat."""

    handoff: ChatHandoffDetail
    transcript: tuple[ChatTurn, ...]
    messages: tuple[ChatMessage, ...]

    @classmethod
    def of_stored(cls, stored: StoredChat, record: ChatRecord) -> Self:
        """Convert a stored chat. `record` is its present state."""
        sent = [
            ChatMessage(
                id=message.id,
                direction="to_agent",
                at=message.at,
                text=message.text,
                attachments=message.attachments,
                delivery=delivery.status if (delivery := stored.deliveries.get(message.id)) else None,
            )
            for message in stored.messages
        ]
        received = [
            ChatMessage(
                id=event.payload["message_id"],
                direction="to_bot",
                at=event.at,
                text=event.payload["text"],
                attachments=event.payload["attachments"],
                agent=event.payload.get("agent"),
            )
            for event in stored.events
            if event.type is ChatEventType.AGENT_MESSAGE
        ]
        messages = tuple(sorted((*sent, *received), key=lambda message: message.at))
        return cls.model_validate(
            _chat(record, ChatHandoffDetail) | {"transcript": record.transcript, "messages": messages}
        )


class ChatList(Schema):
    """Chats, newest first."""

    chats: list[ChatSummary]


class ChatEventMessage(Schema):
    """An event of a chat. `sequence` counts from 1 without a gap; it is null for typing, which is never repeated."""

    model_config = ConfigDict(frozen=True)

    id: str
    sequence: int | None
    chat_id: str
    type: ChatEventType
    at: Moment
    payload: dict[str, Any]


class ChatStreamMessage(Schema):
    """One event of the stream of a chat, with its field names there. `id` is its sequence; typing has none."""

    id: str | None = None
    event: ChatEventType
    data: Annotated[ChatEventMessage, AsJsonText()]


def _chat(record: ChatRecord, handoff: type[ChatHandoffSummary]) -> dict[str, Any]:
    return {
        "id": record.chat_id,
        "shared_id": record.shared_id,
        "channel": record.channel,
        "state": record.state,
        "customer": record.customer,
        "started_at": record.started_at,
        "queued_at": record.queued_at,
        "active_at": record.active_at,
        "ended_at": record.ended_at,
        "ended_by": record.ended_by,
        "result": record.result,
        "reason": record.reason,
        "agent": record.agent,
        "handoff": handoff.model_validate(record.handoff, from_attributes=True),
    }
