"""The events of all conversations, for the readers of the desk's event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_models import show_message, show_summary
from sipbridge.simulators.cxone.digital.events import Event, Forgotten, MessageAdded

MAX_QUEUED_EVENTS = 1000  # a reader that is further behind is disconnected, and lists the conversations again


class Reader:
    """One reader. `async for name, data in reader` ends when the feed disconnects the reader."""

    def __init__(self) -> None:
        # The extra slot is for the None that ends the iteration.
        self._queue: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(MAX_QUEUED_EVENTS + 1)

    def offer(self, name: str, data: str) -> bool:
        """Queue an event; return False if too many are queued already."""
        if self._queue.qsize() < MAX_QUEUED_EVENTS:
            self._queue.put_nowait((name, data))
            return True
        self._queue.put_nowait(None)
        return False

    async def __aiter__(self) -> AsyncIterator[tuple[str, str]]:
        while (event := await self._queue.get()) is not None:
            yield event


class DeskFeed:
    """The feed of a desk: every event for every reader. Without readers the cost is negligible."""

    def __init__(self, desk: Desk) -> None:
        self._readers: set[Reader] = set()
        desk.listeners.append(self._observe)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Receive the events while the block runs."""
        reader = Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def _observe(self, conversation: Conversation, event: Event) -> None:
        if not self._readers:
            return
        name = (
            "forgotten" if isinstance(event, Forgotten) else "message" if isinstance(event, MessageAdded) else "state"
        )
        shown: dict[str, Any] = {"conversation": show_summary(conversation)}
        if isinstance(event, MessageAdded):
            shown["message"] = show_message(event.message)
        data = orjson.dumps(shown).decode()
        self._readers = {reader for reader in self._readers if reader.offer(name, data)}
