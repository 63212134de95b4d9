"""The time limits of a chat: for the queue, for the inactivity of the customer, and for the whole chat."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sipbridge.chats.happenings import Deadline

if TYPE_CHECKING:
    from sipbridge.chats.chat import Chat

# After a restart, to learn what has happened meanwhile, before a time limit that has passed ends the chat.
RECOVERY_SECONDS = 30.0


def set_deadlines(chat: Chat) -> None:
    """Set the time limits, counted from the request. A restart extends them only until the channel is recovered."""
    age = (datetime.now(UTC) - chat.record.started_at).total_seconds()
    least = RECOVERY_SECONDS if chat.resumed else 0.0
    settings = chat.settings
    chat.inbox.set_deadline(Deadline.EXPIRY, max(least, settings.max_chat_seconds - age))
    if chat.record.active_at is not None:
        customer_active(chat)
    elif settings.queue_timeout_seconds is not None:
        chat.inbox.set_deadline(Deadline.QUEUE, max(least, settings.queue_timeout_seconds - age))


def customer_active(chat: Chat) -> None:
    """Count the inactivity of the customer from now on. A customer who waits for a human agent is not inactive."""
    if chat.record.agent is not None:
        set_inactivity(chat, chat.settings.inactivity_seconds)


def set_inactivity(chat: Chat, seconds: float | None) -> None:
    """End the chat in that many seconds, with a warning before; None cancels it."""
    before = chat.settings.inactivity_warning_seconds
    warning = seconds - before if seconds is not None and before else None
    chat.inbox.set_deadline(Deadline.INACTIVITY, seconds)
    chat.inbox.set_deadline(Deadline.INACTIVITY_WARNING, warning)
