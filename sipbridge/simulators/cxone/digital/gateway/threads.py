"""The threads of the gateway. A thread of a messaging channel has several contacts in turn, one of livechat has one."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sipbridge.simulators.cxone.digital.conversation import Conversation, State
from sipbridge.simulators.cxone.digital.messages import Customer, Message, new_id

_MAX_HISTORY = 100  # events


class Thread:
    """A thread: its messages over all contacts, and the events of its contacts."""

    def __init__(self, channel: str, external_id: str, customer: Customer, name: str) -> None:
        self.id = new_id()
        self.channel = channel
        self.external_id = external_id
        self.customer = customer
        self.name = name
        self.is_archived = False
        self.created_at = datetime.now(UTC)
        self.conversations: list[Conversation] = []
        self.messages: list[Message] = []
        self.history: deque[Mapping[str, Any]] = deque(maxlen=_MAX_HISTORY)

    @property
    def last(self) -> Conversation | None:
        """The current or last contact."""
        return self.conversations[-1] if self.conversations else None

    @property
    def current(self) -> Conversation | None:
        """The contact that is not closed."""
        return self.last if self.last is not None and self.last.state is not State.CLOSED else None

    def newest(self, count: int) -> tuple[list[Message], str]:
        """Return the newest messages, newest first, and the scroll token of those before."""
        return self._page(len(self.messages), count)

    def before(self, scroll_token: str, count: int) -> tuple[list[Message], str] | None:
        """Return the messages before those of a page; None if the token is not one of this thread."""
        try:
            thread, _, end = base64.urlsafe_b64decode(scroll_token).decode().partition(" ")
            return self._page(int(end), count) if thread == self.id else None
        except (binascii.Error, ValueError):
            return None

    def _page(self, end: int, count: int) -> tuple[list[Message], str]:
        start = max(end - count, 0)
        token = base64.urlsafe_b64encode(f"{self.id} {start}".encode()).decode() if start else ""
        return self.messages[start:end][::-1], token


class Threads:
    """All threads, by channel and id, and those of each customer."""

    def __init__(self) -> None:
        self._threads: dict[tuple[str, str], Thread] = {}
        self._by_customer: dict[tuple[str, str], list[Thread]] = {}

    def find(self, channel: str, external_id: str) -> Thread | None:
        """Return a thread by the id that the client gave it."""
        return self._threads.get((channel, external_id))

    def of_customer(self, channel: str, customer_id: str) -> Sequence[Thread]:
        """Return the threads of a customer, oldest first."""
        return self._by_customer.get((channel, customer_id), ())

    def add(self, thread: Thread) -> None:
        """Add a thread."""
        self._threads[thread.channel, thread.external_id] = thread
        self._by_customer.setdefault((thread.channel, thread.customer.id), []).append(thread)

    def remove(self, thread: Thread) -> None:
        """Remove a thread."""
        del self._threads[thread.channel, thread.external_id]
        key = thread.channel, thread.customer.id
        self._by_customer[key].remove(thread)
        if not self._by_customer[key]:
            del self._by_customer[key]
