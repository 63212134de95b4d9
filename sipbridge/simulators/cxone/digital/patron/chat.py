"""One patron chat: the messages that wait for a poll, and the session id, which changes with each response."""

from __future__ import annotations

import asyncio
from collections import deque

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.messages import new_id
from sipbridge.simulators.cxone.digital.patron.wire import Json


class PatronChat:
    """A chat. `contact` is None if the point of contact was closed. `session` is the id for the next request."""

    def __init__(self, contact_id: str, label: str) -> None:
        self.contact_id = contact_id
        self.label = label  # of the customer, once a text has given it
        self.contact: Conversation | None = None
        self.session = new_id()
        self.previous = ""
        self.is_over = False
        self.batch: list[Json] = []  # what the newest session id came with
        self._messages: deque[Json] = deque()
        self._changed = asyncio.Event()

    def add(self, message: Json) -> None:
        """Add a message for the next poll."""
        self._messages.append(message)
        self._changed.set()

    def end(self) -> None:
        """End the chat: once its messages are read, polls say that it is over."""
        self.is_over = True
        self._changed.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Wait for a message or the end, at most so long."""
        self._changed.clear()
        if self._messages or self.is_over:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def take(self) -> list[Json]:
        """Return the messages that wait and change the session id; without any, neither."""
        messages = list(self._messages)
        if messages:
            self._messages.clear()
            self.previous, self.session, self.batch = self.session, new_id(), messages
        return messages
