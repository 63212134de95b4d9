"""The course of a chat, from its request, or from where an earlier run left it, to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from sipbridge.aio import cancel_and_wait
from sipbridge.chats import happenings as h
from sipbridge.chats.chat import Chat
from sipbridge.chats.endings import NOT_HANDED_OVER, ChatEnd, channel_failed, ended_by_bot, no_agent
from sipbridge.chats.events import ChatAgentJoined, ChatEnded, ChatMessageRelayed, ChatQueued, ChatStarted
from sipbridge.chats.happenings import Deadline
from sipbridge.chats.model import (
    Attachment,
    AttachmentFile,
    ChatEventType,
    ChatState,
    Delivery,
    DeliveryStatus,
    HumanAgent,
)
from sipbridge.handoffs.lifecycle import finish_handoff

logger = logging.getLogger(__name__)

LAST_MESSAGES_SECONDS = 10.0  # to hand over what the bot wrote before it ended the chat
CLOSING_SECONDS = 5.0  # to end the contact at CXone
# After a restart, to learn what has happened meanwhile, before a time limit that has passed ends the chat.
RECOVERY_SECONDS = 30.0


async def run_chat(chat: Chat) -> None:
    """Run a chat. If this is cancelled, the chat is not over: the next start goes on with it."""
    observe = chat.context.observe
    observe(ChatStarted(chat.record, chat.resumed))
    try:
        async with _connected(chat):
            end = await _end_of(chat)
            await _take_leave(chat, end)
        await _close(chat, end)
        observe(ChatEnded(chat.record))
    finally:
        chat.closed = True


@asynccontextmanager
async def _connected(chat: Chat) -> AsyncIterator[None]:
    """Keep the channel open, and hand over what the bot writes, while the block runs."""
    connection = asyncio.create_task(chat.session.run())
    connection.add_done_callback(partial(_report_fault, chat))
    chat.outbox.start()
    try:
        yield
    finally:
        chat.undelivered = await chat.outbox.close()
        await cancel_and_wait(connection)


async def _end_of(chat: Chat) -> ChatEnd:
    """Relay both ways until the chat is over; return why. A fault of ours ends it: the bot takes the customer back."""
    try:
        return await _converse(chat)
    except Exception:
        extra = {"event": "internal_error", "client": chat.record.client, "project": chat.record.project}
        logger.exception("a chat failed", extra=extra)
        return channel_failed(chat.record, "internal_error")


async def _converse(chat: Chat) -> ChatEnd:  # noqa: C901, PLR0911, PLR0912 (one case per happening)
    """Handle what happens, one after the other, until the chat is over."""
    _set_deadlines(chat)
    why_unreachable = ""
    while True:
        match await chat.inbox.next():
            case h.Delivered() as delivered:
                if (end := await _delivered(chat, delivered)) is not None:
                    return end
            case h.ChannelUnreachable(reason):
                why_unreachable = reason
            case h.QueuePosition() as position:
                await _queue_position(chat, position)
            case h.AgentJoined(agent):
                await _agent_joined(chat, agent)
            case h.AgentLeft() if chat.record.agent is not None:
                await _agent_left(chat)
            case h.AgentTyping(on):
                chat.publish_typing("started" if on else "stopped")
            case h.AgentMessage() as message if chat.is_new(message.message_id):
                await _agent_message(chat, message)
            case h.AgentMessage(stored=stored):
                h.resolve(stored)  # the bot has it already
            case h.CustomerActive():
                _customer_active(chat)
            case h.EndRequested():
                chat.inbox.set_deadline(Deadline.LAST_MESSAGES, LAST_MESSAGES_SECONDS)
                chat.outbox.announce_end()
            case h.AllHandedOver() | h.DeadlinePassed(Deadline.LAST_MESSAGES):
                return ended_by_bot(chat.end_request)
            case h.ContactClosed(reason):
                return ChatEnd(ChatState.ENDED, "agent", reason)
            case h.ChannelFailed(reason):
                return channel_failed(chat.record, reason)
            case h.ExpiryNear(seconds):
                await chat.emit(ChatEventType.EXPIRY_WARNING, {"seconds_left": seconds})
            case h.ChannelStateChanged(state, stored):
                await chat.update(channel_state=dict(state))
                h.resolve(stored)
            case h.DeadlinePassed(Deadline.QUEUE):
                return no_agent(chat.record, why_unreachable)
            case h.DeadlinePassed(Deadline.INACTIVITY_WARNING):
                seconds_left = round(chat.settings.inactivity_warning_seconds or 0)
                await chat.emit(ChatEventType.INACTIVITY_WARNING, {"seconds_left": seconds_left})
            case h.DeadlinePassed(Deadline.INACTIVITY):
                return ChatEnd(ChatState.ENDED, "inactivity", "inactivity")
            case h.DeadlinePassed(Deadline.EXPIRY):
                return ChatEnd(ChatState.ENDED, "expiry", "expiry")


def _report_fault(chat: Chat, connection: asyncio.Task[None]) -> None:
    """End the chat if its session failed in a way that it should not."""
    if not connection.cancelled() and (error := connection.exception()) is not None:
        extra = {"event": "internal_error", "client": chat.record.client, "project": chat.record.project}
        logger.error("the session of a chat failed", exc_info=error, extra=extra)
        chat.inbox.put(h.ChannelFailed("internal_error"))


# ------------------------------------------------------------ what happens


async def _delivered(chat: Chat, delivered: h.Delivered) -> ChatEnd | None:
    """Note the fate of a message. If the first one was refused, there is no contact, and the chat has failed."""
    if delivered.id is None:
        if delivered.status is DeliveryStatus.FAILED:
            return channel_failed(chat.record, delivered.reason)
        await _accepted(chat, queued_at=datetime.now(UTC))
        return None
    await _note_delivery(chat, delivered.id, delivered.status, delivered.reason)
    return None


async def _note_delivery(chat: Chat, message_id: str, status: DeliveryStatus, reason: str) -> None:
    seconds = chat.seconds_since_accepted(message_id)
    delivery = Delivery(id=message_id, status=status, reason=reason, at=datetime.now(UTC))
    kind, payload = delivery.event()
    await chat.emit(kind, payload, also=[delivery])
    chat.context.observe(ChatMessageRelayed(chat.record, "to_agent", status, seconds))


async def _accepted(chat: Chat, queued_at: datetime | None = None) -> None:
    """Report once that the contact exists at CXone. `queued_at` is the time at which CXone has the first message.

    A position in the queue or a human agent may show the contact before CXone confirms that message.
    """
    if not chat.is_accepted:
        state = ChatState.QUEUED if chat.record.state is ChatState.REQUESTED else chat.record.state
        await chat.emit(ChatEventType.HANDOFF_ACCEPTED, state=state, queued_at=queued_at)
        chat.context.observe(ChatQueued(chat.record))
    elif queued_at is not None:
        await chat.update(queued_at=queued_at)


async def _queue_position(chat: Chat, queue: h.QueuePosition) -> None:
    """Pass the position on, except once a human agent has joined: CXone's last position may come late."""
    if chat.record.active_at is None:
        await _accepted(chat)
        values = {
            "queue_name": queue.queue_name,
            "position_in_queue": queue.position,
            "estimated_wait_seconds": queue.estimated_wait_seconds,
        }
        await chat.emit(
            ChatEventType.QUEUE_STATUS, {name: value for name, value in values.items() if value is not None}
        )


async def _agent_joined(chat: Chat, agent: HumanAgent) -> None:
    """A human agent has taken the chat, or taken it over. CXone repeats the same one after each reconnect."""
    shown = _shown(chat, agent)
    if chat.record.agent == shown:
        return
    payload = {"agent": shown.model_dump(exclude_none=True)}
    if chat.record.active_at is not None:
        await chat.emit(ChatEventType.AGENT_JOINED, payload, agent=shown)
        _customer_active(chat)
        return
    chat.inbox.set_deadline(Deadline.QUEUE, None)
    await _accepted(chat)
    now = datetime.now(UTC)
    handoff = finish_handoff(chat.record.handoff, completed=True, confirmed=True, at=now)
    await chat.emit(
        ChatEventType.AGENT_JOINED, payload, agent=shown, state=ChatState.ACTIVE, active_at=now, handoff=handoff
    )
    chat.context.observe(ChatAgentJoined(chat.record, (now - chat.record.started_at).total_seconds()))
    _customer_active(chat)


async def _agent_left(chat: Chat) -> None:
    """The human agent has left. The contact stays, and the customer waits for another one."""
    await chat.emit(ChatEventType.AGENT_LEFT, agent=None)
    _set_inactivity(chat, None)


async def _agent_message(chat: Chat, message: h.AgentMessage) -> None:
    if message.agent is not None and chat.record.active_at is None:  # CXone did not report who joined
        await _agent_joined(chat, message.agent)
    payload: dict[str, Any] = {
        "message_id": message.message_id,
        "text": message.text,
        "attachments": [each.model_dump() for each in (*message.attachments, *_links(chat, message.files))],
    }
    if message.agent is not None:
        payload["agent"] = _shown(chat, message.agent).model_dump(exclude_none=True)
    await chat.emit(ChatEventType.AGENT_MESSAGE, payload, also=message.files)
    h.resolve(message.stored)
    seconds = max(0.0, (datetime.now(UTC) - message.at).total_seconds())
    chat.context.observe(ChatMessageRelayed(chat.record, "to_bot", DeliveryStatus.DELIVERED, seconds))


def _links(chat: Chat, files: Iterable[AttachmentFile]) -> list[Attachment]:
    """Return files as attachments that the bot gets from the API."""
    record = chat.record
    base = chat.context.config.http.public_url.rstrip("/")
    path = f"{base}/v1/{record.client}/{record.project}/chats/{quote(record.chat_id, safe='')}/attachments"
    return [Attachment(url=f"{path}/{each.id}", name=each.name, media_type=each.media_type) for each in files]


def _shown(chat: Chat, agent: HumanAgent) -> HumanAgent:
    """Return what the project shows of a human agent."""
    return agent if chat.settings.show_agent else HumanAgent(id=agent.id)


# ------------------------------------------------------------ time limits


def _set_deadlines(chat: Chat) -> None:
    """Set the time limits, counted from the request. A restart extends them only until the channel is recovered."""
    age = (datetime.now(UTC) - chat.record.started_at).total_seconds()
    least = RECOVERY_SECONDS if chat.resumed else 0.0
    settings = chat.settings
    chat.inbox.set_deadline(Deadline.EXPIRY, max(least, settings.max_chat_seconds - age))
    if chat.record.active_at is not None:
        _customer_active(chat)
    elif settings.queue_timeout_seconds is not None:
        chat.inbox.set_deadline(Deadline.QUEUE, max(least, settings.queue_timeout_seconds - age))


def _customer_active(chat: Chat) -> None:
    """Count the inactivity of the customer from now on. A customer who waits for a human agent is not inactive."""
    if chat.record.agent is not None:
        _set_inactivity(chat, chat.settings.inactivity_seconds)


def _set_inactivity(chat: Chat, seconds: float | None) -> None:
    """End the chat in that many seconds, with a warning before; None cancels it."""
    before = chat.settings.inactivity_warning_seconds
    warning = seconds - before if seconds is not None and before else None
    chat.inbox.set_deadline(Deadline.INACTIVITY, seconds)
    chat.inbox.set_deadline(Deadline.INACTIVITY_WARNING, warning)


# ------------------------------------------------------------ the end


async def _take_leave(chat: Chat, end: ChatEnd) -> None:
    """End the contact, if CXone has one that it did not end itself."""
    await chat.close()
    await _settle(chat)
    if end.by != "agent" and chat.is_accepted:
        text = chat.settings.closing_text if end.by == "inactivity" else chat.settings.leaving_text
        ending = asyncio.create_task(chat.session.end(text))
        try:
            await asyncio.wait([ending], timeout=CLOSING_SECONDS)
        finally:
            await cancel_and_wait(ending)


async def _settle(chat: Chat) -> None:
    """Pass on the messages and deliveries that arrived after the end was decided."""
    for happening in chat.inbox.drain():
        match happening:
            case h.Delivered(None, status):
                if status is not DeliveryStatus.FAILED:
                    await _accepted(chat, queued_at=datetime.now(UTC))
            case h.Delivered(str(message_id), status, reason):
                await _note_delivery(chat, message_id, status, reason)
            case h.AgentMessage() as message if chat.is_new(message.message_id):
                await _agent_message(chat, message)
            case h.AgentMessage(stored=stored) | h.ChannelStateChanged(_, stored):
                h.resolve(stored)


async def _close(chat: Chat, end: ChatEnd) -> None:
    """Note the fate of what was not handed over, then the end."""
    await _settle(chat)
    for message_id, status in chat.undelivered:
        await _note_delivery(chat, message_id, status, NOT_HANDED_OVER)
    kind, payload = end.event()
    await chat.emit(kind, payload, **end.changes(chat.record, datetime.now(UTC)))
