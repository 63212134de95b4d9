"""The effects of each happening: entries in the store, and events for the bot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from sipbridge.chats import happenings as h
from sipbridge.chats.chat import Chat
from sipbridge.chats.endings import channel_failed
from sipbridge.chats.events import ChatAgentJoined, ChatMessageRelayed, ChatQueued
from sipbridge.chats.happenings import Deadline
from sipbridge.chats.model import (
    Attachment,
    AttachmentFile,
    ChatEnd,
    ChatEventType,
    ChatState,
    Delivery,
    DeliveryStatus,
    HumanAgent,
)
from sipbridge.handoffs.lifecycle import finish_handoff


async def delivered(chat: Chat, delivery: h.Delivered) -> ChatEnd | None:
    """Note the fate of a message. If the first one was refused, there is no contact, and the chat has failed."""
    if delivery.id is None:
        if delivery.status is DeliveryStatus.FAILED:
            return channel_failed(chat.record, delivery.reason)
        await accepted(chat, queued_at=datetime.now(UTC))
        return None
    await note_delivery(chat, delivery.id, delivery.status, delivery.reason)
    return None


async def note_delivery(chat: Chat, message_id: str, status: DeliveryStatus, reason: str) -> None:
    """Store the fate of a message of the bot, and report it."""
    seconds = chat.seconds_since_accepted(message_id)
    delivery = Delivery(id=message_id, status=status, reason=reason, at=datetime.now(UTC))
    kind, payload = delivery.event()
    await chat.relay(
        kind,
        payload,
        [delivery],
        then=lambda: chat.context.observe(ChatMessageRelayed(chat.record, "to_agent", status, seconds)),
    )


async def accepted(chat: Chat, queued_at: datetime | None = None) -> None:
    """Report once that the contact exists at CXone. `queued_at` is the time at which CXone has the first message.

    A position in the queue or a human agent may show the contact before CXone confirms that message.
    """
    if not chat.is_accepted:
        state = ChatState.QUEUED if chat.record.state is ChatState.REQUESTED else chat.record.state
        await chat.emit(ChatEventType.HANDOFF_ACCEPTED, state=state, queued_at=queued_at)
        chat.context.observe(ChatQueued(chat.record))
    elif queued_at is not None:
        await chat.update(queued_at=queued_at)


async def queue_position(chat: Chat, queue: h.QueuePosition) -> None:
    """Pass the position on, except once a human agent has joined: CXone's last position may come late."""
    if chat.record.active_at is None:
        await accepted(chat)
        values = {
            "queue_name": queue.queue_name,
            "position_in_queue": queue.position,
            "estimated_wait_seconds": queue.estimated_wait_seconds,
        }
        await chat.emit(
            ChatEventType.QUEUE_STATUS, {name: value for name, value in values.items() if value is not None}
        )


async def agent_joined(chat: Chat, agent: HumanAgent) -> None:
    """A human agent has taken the chat, or taken it over.

    Channels repeat the same one, at each poll or after each reconnect, and not always with the name and the picture.
    """
    if chat.record.agent is not None and chat.record.agent.id == agent.id:
        return
    shown = _shown(chat, agent)
    payload = {"agent": shown.model_dump(exclude_none=True)}
    if chat.record.active_at is not None:
        await chat.emit(ChatEventType.AGENT_JOINED, payload, agent=shown)
        chat.limits.customer_active(chat.record)
        return
    chat.inbox.set_deadline(Deadline.QUEUE, None)
    await accepted(chat)
    now = datetime.now(UTC)
    handoff = finish_handoff(chat.record.handoff, completed=True, confirmed=True, at=now)
    await chat.emit(
        ChatEventType.AGENT_JOINED, payload, agent=shown, state=ChatState.ACTIVE, active_at=now, handoff=handoff
    )
    chat.context.observe(ChatAgentJoined(chat.record, (now - chat.record.started_at).total_seconds()))
    chat.limits.customer_active(chat.record)


async def agent_left(chat: Chat) -> None:
    """The human agent has left. The contact stays, and the customer waits for another one."""
    await chat.emit(ChatEventType.AGENT_LEFT, agent=None)
    chat.limits.agent_left()


async def agent_message(chat: Chat, message: h.AgentMessage) -> None:
    """Pass a message of the human agent on, unless the bot has it."""
    if await chat.has_relayed(message.message_id):
        h.resolve(message.stored)
        return
    if message.agent is not None and chat.record.active_at is None:  # CXone did not report who joined
        await agent_joined(chat, message.agent)
    payload: dict[str, Any] = {
        "message_id": message.message_id,
        "text": message.text,
        "attachments": [each.model_dump() for each in (*message.attachments, *_links(chat, message.files))],
    }
    if message.agent is not None:
        payload["agent"] = _shown(chat, message.agent).model_dump(exclude_none=True)

    def settled(status: DeliveryStatus) -> None:
        h.resolve(message.stored)
        seconds = max(0.0, (datetime.now(UTC) - message.at).total_seconds())
        chat.context.observe(ChatMessageRelayed(chat.record, "to_bot", status, seconds))

    then = partial(settled, DeliveryStatus.DELIVERED)
    if not await chat.relay(ChatEventType.AGENT_MESSAGE, payload, message.files, then):
        settled(DeliveryStatus.FAILED)  # a channel that waited for it would repeat it in vain


def _links(chat: Chat, files: Sequence[AttachmentFile]) -> list[Attachment]:
    """Return files as attachments that the bot gets from the API."""
    if not files:  # the usual case
        return []
    record = chat.record
    base = chat.context.config.http.public_url.rstrip("/")
    path = f"{base}/v1/{record.client}/{record.project}/chats/{quote(record.chat_id, safe='')}/attachments"
    return [Attachment(url=f"{path}/{each.id}", name=each.name, media_type=each.media_type) for each in files]


def _shown(chat: Chat, agent: HumanAgent) -> HumanAgent:
    """Return what the project shows of a human agent."""
    return agent if chat.settings.show_agent else HumanAgent(id=agent.id)
