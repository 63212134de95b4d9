"""The course of a chat, from its request, or from where an earlier run left it, to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from sipbridge.aio import cancel_and_wait
from sipbridge.chats import happenings as h
from sipbridge.chats.chat import Chat
from sipbridge.chats.endings import (
    NOT_HANDED_OVER,
    changes,
    channel_failed,
    contact_closed,
    ended_by_bot,
    last_event,
    no_agent,
)
from sipbridge.chats.events import ChatEnded, ChatReleased, ChatStarted
from sipbridge.chats.happenings import Deadline
from sipbridge.chats.model import ChatEnd, ChatEventType, ChatState, DeliveryStatus
from sipbridge.chats.relaying import (
    accepted,
    agent_joined,
    agent_left,
    agent_message,
    delivered,
    note_delivery,
    queue_position,
)
from sipbridge.chats.time_limits import RECOVERY_SECONDS

logger = logging.getLogger(__name__)

LAST_MESSAGES_SECONDS = 10.0  # to hand over what the bot wrote before it ended the chat
CLOSING_SECONDS = 5.0  # to end the contact at CXone


async def run_chat(chat: Chat) -> None:
    """Run a chat. If this is cancelled, the chat is not over: the next start, or another node, goes on with it."""
    observe = chat.context.observe
    observe(ChatStarted(chat.record, chat.resumed))
    try:
        async with _connected(chat):
            end = chat.record.ending or await _end_of(chat)
            decided_at = datetime.now(UTC)
            await _take_leave(chat, end)
        await _close(chat, end)
    except asyncio.CancelledError:
        if chat.is_released:
            observe(ChatReleased(chat.record))
        raise
    observe(ChatEnded(chat.record, decided_at))


@asynccontextmanager
async def _connected(chat: Chat) -> AsyncIterator[None]:
    """Keep the channel open, and hand over what the bot writes, while the block runs."""
    connection = asyncio.create_task(chat.session.run())
    connection.add_done_callback(partial(_report_fault, chat))
    if chat.record.ending is None or chat.is_accepted:  # else it would open a contact for a chat that is over
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
    finally:
        chat.inbox.stop_clock()


async def _converse(chat: Chat) -> ChatEnd:  # noqa: C901, PLR0911, PLR0912 (one case per happening)
    """Handle what happens, one after the other, until the chat is over."""
    chat.limits.start(chat.record, resumed=chat.resumed)
    why_unreachable = ""
    while True:
        match await chat.inbox.next():
            case h.Delivered() as delivery:
                if (end := await delivered(chat, delivery)) is not None:
                    return end
            case h.ChannelUnreachable(reason):
                why_unreachable = reason
            case h.QueuePosition() as position:
                await queue_position(chat, position)
            case h.AgentJoined(agent):
                await agent_joined(chat, agent)
            case h.AgentLeft() if chat.record.agent is not None:
                await agent_left(chat)
            case h.AgentTyping(on):
                chat.publish_typing("started" if on else "stopped")
            case h.AgentMessage() as message:
                await agent_message(chat, message)
            case h.StepFailed():
                await chat.steps.settled()
            case h.EndRequested():
                chat.inbox.set_deadline(Deadline.LAST_MESSAGES, LAST_MESSAGES_SECONDS)
                chat.outbox.announce_end()
            case h.AllHandedOver() | h.DeadlinePassed(Deadline.LAST_MESSAGES):
                return ended_by_bot(chat.end_request)
            case h.ContactClosed(reason):
                return contact_closed(chat.record, reason)
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


# ------------------------------------------------------------ the end


async def _take_leave(chat: Chat, end: ChatEnd) -> None:
    """End the contact, if CXone has one that it did not end itself.

    The end is stored before CXone is notified. So the next start after an interruption goes on with the same end,
    though CXone may report a closed contact then.
    """
    await chat.close()
    await _settle(chat)
    in_doubt = not chat.is_accepted
    if end.contact_closed or (in_doubt and not chat.outbox.may_have_opened):
        return
    if in_doubt:  # the channel asks CXone for a contact, and nothing may open one any more
        await chat.outbox.close()
    seconds = CLOSING_SECONDS
    if in_doubt or chat.record.ending is not None:  # the channel may have to be recovered first
        seconds += RECOVERY_SECONDS
    if chat.record.ending is None:
        await chat.update(ending=end)
    text = chat.settings.closing_text if end.by == "inactivity" else chat.settings.leaving_text
    notifying = asyncio.create_task(chat.session.end(text))
    notifying.add_done_callback(lambda _: chat.inbox.put(h.CxoneNotified()))
    chat.inbox.set_deadline(Deadline.NOTIFICATION, seconds)
    try:
        await _settle_until_notified(chat)
    finally:
        chat.inbox.stop_clock()
        await cancel_and_wait(notifying)


async def _settle_until_notified(chat: Chat) -> None:
    while True:
        match await chat.inbox.next():
            case h.CxoneNotified() | h.DeadlinePassed(Deadline.NOTIFICATION):
                return
            case happening:
                await _settle_one(chat, happening)


async def _settle(chat: Chat) -> None:
    """Pass on what arrived after the end was decided."""
    for happening in chat.inbox.drain():
        await _settle_one(chat, happening)


async def _settle_one(chat: Chat, happening: h.Happening) -> None:
    """Pass on a message or a delivery, and store what the channel needs; nothing else matters after the end."""
    match happening:
        case h.Delivered(None, status):
            if status is not DeliveryStatus.FAILED:
                await accepted(chat, queued_at=datetime.now(UTC))
        case h.Delivered(str(message_id), status, reason):
            await note_delivery(chat, message_id, status, reason)
        case h.AgentMessage() as message:
            await agent_message(chat, message)
        case h.StepFailed():
            await chat.steps.settled()
        case h.ChannelStateChanged(state, stored):
            await chat.update(channel_state=dict(state))
            h.resolve(stored)


async def _close(chat: Chat, end: ChatEnd) -> None:
    """Note the fate of what was not handed over, then the end."""
    await _settle(chat)
    for message_id, status in chat.undelivered:
        await note_delivery(chat, message_id, status, NOT_HANDED_OVER)
    if not await _emit_end(chat, end):
        await _emit_end(chat, channel_failed(chat.record, "internal_error"))


async def _emit_end(chat: Chat, end: ChatEnd) -> bool:
    """Store the end and the last event; return False if they can never be stored."""
    kind, payload = last_event(end)
    return await chat.emit(kind, payload, **changes(chat.record, end, datetime.now(UTC)))
