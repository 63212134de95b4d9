"""The time limits of a chat: for the queue, for the inactivity of the customer, and for the whole chat."""

from __future__ import annotations

from datetime import UTC, datetime

from sipbridge.chats.happenings import Deadline, Inbox
from sipbridge.chats.model import ChatRecord
from sipbridge.config import ChatConfig

# After a restart, to learn what has happened meanwhile, before a time limit that has passed ends the chat.
RECOVERY_SECONDS = 30.0


class TimeLimits:
    """The deadlines of a chat, set in its inbox."""

    def __init__(self, settings: ChatConfig, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox

    def start(self, record: ChatRecord, *, resumed: bool) -> None:
        """Set the time limits, counted from the request. A restart extends them only until the channel is recovered."""
        age = (datetime.now(UTC) - record.started_at).total_seconds()
        least = RECOVERY_SECONDS if resumed else 0.0
        self._inbox.set_deadline(Deadline.EXPIRY, max(least, self._settings.max_chat_seconds - age))
        if record.active_at is not None:
            self.customer_active(record)
        elif self._settings.queue_timeout_seconds is not None:
            self._inbox.set_deadline(Deadline.QUEUE, max(least, self._settings.queue_timeout_seconds - age))

    def customer_active(self, record: ChatRecord) -> None:
        """Count the inactivity of the customer from now on. One who waits for a human agent is not inactive."""
        if record.agent is not None:
            self._set_inactivity(self._settings.inactivity_seconds)

    def agent_left(self) -> None:
        """Count no inactivity until a human agent joins."""
        self._set_inactivity(None)

    def _set_inactivity(self, seconds: float | None) -> None:
        """End the chat in that many seconds, with a warning before; None cancels it."""
        before = self._settings.inactivity_warning_seconds
        warning = seconds - before if seconds is not None and before else None
        self._inbox.set_deadline(Deadline.INACTIVITY, seconds)
        self._inbox.set_deadline(Deadline.INACTIVITY_WARNING, warning)
