"""The readers of event streams: each has a queue, and one that is too slow is disconnected."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Reader(Generic[T]):
    """One reader of a stream. `async for event in reader` ends when the stream does, or the reader is disconnected."""

    def __init__(self, max_queued: int) -> None:
        self._max_queued = max_queued
        # The extra slot is for the None that ends the iteration.
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(max_queued + 1)

    def offer(self, event: T) -> bool:
        """Queue an event; return False if too many are queued already."""
        if self._queue.qsize() >= self._max_queued:
            return False
        self._queue.put_nowait(event)
        return True

    def end(self) -> None:
        """End the iteration after what is queued."""
        if not self._queue.full():  # else it ends already
            self._queue.put_nowait(None)

    def drop(self) -> None:
        """End the iteration now."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (event := await self._queue.get()) is not None:
            yield event


class Readers(Generic[K, T]):
    """The readers of the streams of one kind, each stream with a key. Belongs to one event loop.

    A reader with `max_queued` events that it did not read is disconnected, and so is the oldest one of a stream that
    has `max_per_stream`.
    """

    def __init__(self, max_queued: int, max_per_stream: int) -> None:
        self._max_queued = max_queued
        self._max_per_stream = max_per_stream
        self._readers: defaultdict[K, dict[Reader[T], None]] = defaultdict(dict)  # the oldest first
        self._closed = False

    def __len__(self) -> int:
        """The number of readers."""
        return sum(len(readers) for readers in self._readers.values())

    def __contains__(self, key: K) -> bool:
        """True if a stream has readers."""
        return key in self._readers

    def send(self, key: K, event: T) -> list[Reader[T]]:
        """Queue an event for each reader of a stream; return those that are disconnected since they are too slow."""
        readers = self._readers.get(key, {})
        slow = [reader for reader in readers if not reader.offer(event)]
        for reader in slow:
            del readers[reader]
            reader.drop()
        return slow

    def end(self, key: K) -> None:
        """End a stream, after what is queued."""
        for reader in self._readers.get(key, {}):
            reader.end()

    @contextmanager
    def reader(self, key: K) -> Iterator[Reader[T]]:
        """Receive the events of a stream while the block runs."""
        readers = self._readers[key]
        if len(readers) >= self._max_per_stream:
            oldest = next(iter(readers))
            del readers[oldest]
            oldest.drop()
        reader = Reader[T](self._max_queued)
        readers[reader] = None
        if self._closed:
            reader.end()
        try:
            yield reader
        finally:
            readers.pop(reader, None)
            if not readers and self._readers.get(key) is readers:
                del self._readers[key]

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._closed = True
        for readers in self._readers.values():
            for reader in readers:
                reader.drop()
