"""The events of each chat, sent to every reader of its event stream."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from sipbridge.chats.model import ChatEvent, ChatRecord

MAX_QUEUED_EVENTS = 1_000  # a reader that is further behind is disconnected, and resumes by its last sequence
MAX_READERS_PER_CHAT = 16  # one more disconnects the oldest


class ChatReader:
    """One reader of a chat's stream. `async for event in reader` ends with the chat, or if the reader is too slow."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[ChatEvent | None] = asyncio.Queue(MAX_QUEUED_EVENTS + 1)

    def offer(self, event: ChatEvent) -> bool:
        """Queue an event; return False if too many are queued already."""
        if self._queue.qsize() >= MAX_QUEUED_EVENTS:
            return False
        self._queue.put_nowait(event)
        return True

    def end(self) -> None:
        """End the iteration after what is queued."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[ChatEvent]:
        while (event := await self._queue.get()) is not None:
            yield event


class ChatFeed:
    """An `EventSink` that sends each chat's events to its readers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._readers: defaultdict[str, dict[ChatReader, None]] = defaultdict(dict)
        self._closed = False

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Queue an event for each reader, and end their streams after the last one of the chat."""
        readers = self._readers.get(record.uid)
        if not readers:
            return
        for reader in list(readers):
            if not reader.offer(event):
                del readers[reader]
                reader.end()
            elif record.state.is_final:
                reader.end()

    @contextmanager
    def reader(self, uid: str) -> Iterator[ChatReader]:
        """Receive the events of a chat while the block runs."""
        readers = self._readers[uid]
        if len(readers) >= MAX_READERS_PER_CHAT:
            oldest = next(iter(readers))
            del readers[oldest]
            oldest.end()
        reader = ChatReader()
        readers[reader] = None
        if self._closed:
            reader.end()
        try:
            yield reader
        finally:
            readers.pop(reader, None)
            if not readers and self._readers.get(uid) is readers:
                del self._readers[uid]

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._closed = True
        for readers in self._readers.values():
            for reader in readers:
                reader.end()
