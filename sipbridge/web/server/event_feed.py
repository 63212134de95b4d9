"""Events of each project, sent to every reader of its event stream."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sipbridge.calls.events import (
    CallAnswered,
    CallEnded,
    CallEvent,
    CallStarted,
    HandoffFinished,
    HandoffStarted,
)
from sipbridge.web.api.schemas import CallSummary, EventName

logger = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 256  # a reader that is further behind is disconnected
MAX_READERS_PER_PROJECT = 64  # one more disconnects the oldest

_Published = CallStarted | CallAnswered | HandoffStarted | HandoffFinished | CallEnded

_NAMES: dict[type[_Published], EventName] = {
    CallStarted: "call.started",
    CallAnswered: "call.answered",
    HandoffStarted: "handoff.started",
    HandoffFinished: "handoff.finished",
    CallEnded: "call.ended",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of the stream: its name, and a `CallSummary` as JSON."""

    name: EventName
    body: str


class Reader:
    """One reader of a stream. `async for notice in reader` ends when the feed disconnects the reader."""

    def __init__(self) -> None:
        # The extra slot is for the None that ends the iteration.
        self._queue: asyncio.Queue[Notice | None] = asyncio.Queue(MAX_QUEUED_EVENTS + 1)

    def offer(self, notice: Notice) -> bool:
        """Queue a notice; return False if too many are queued already."""
        if self._queue.qsize() >= MAX_QUEUED_EVENTS:
            return False
        self._queue.put_nowait(notice)
        return True

    def end(self) -> None:
        """Drop queued notices and end the iteration."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Notice]:
        while (notice := await self._queue.get()) is not None:
            yield notice


class EventFeed:
    """An `Observer` that sends each project's events to its readers. Belongs to one event loop."""

    def __init__(self) -> None:
        # Oldest reader first.
        self._readers: defaultdict[tuple[str, str], dict[Reader, None]] = defaultdict(dict)
        self._closed = False

    def __call__(self, event: CallEvent, /) -> None:
        """Queue an event for each reader. Without readers the cost is negligible."""
        if not isinstance(event, _Published):
            return
        readers = self._readers.get((event.record.client, event.record.project))
        if not readers:
            return
        notice = Notice(_NAMES[type(event)], CallSummary.of(event.record).model_dump_json())
        for reader in [reader for reader in readers if not reader.offer(notice)]:
            logger.warning(
                "event stream closed: reader too slow",
                extra={"client": event.record.client, "project": event.record.project},
            )
            del readers[reader]
            reader.end()

    @contextmanager
    def reader(self, client: str, project: str) -> Iterator[Reader]:
        """Receive the events of a project while the block runs."""
        readers = self._readers[client, project]
        if len(readers) >= MAX_READERS_PER_PROJECT:
            oldest = next(iter(readers))
            del readers[oldest]
            oldest.end()
        reader = Reader()
        readers[reader] = None
        if self._closed:
            reader.end()
        try:
            yield reader
        finally:
            readers.pop(reader, None)
            if not readers and self._readers.get((client, project)) is readers:
                del self._readers[client, project]

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._closed = True
        for readers in self._readers.values():
            for reader in readers:
                reader.end()
