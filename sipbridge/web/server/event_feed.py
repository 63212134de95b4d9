"""The project's events, fanned out to those who listen."""

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

WAITING_EVENTS = 256  # a reader that is further behind is let go
READERS_OF_A_PROJECT = 64  # the oldest is let go for one more

_Told = CallStarted | CallAnswered | HandoffStarted | HandoffFinished | CallEnded

_NAMES: dict[type[_Told], EventName] = {
    CallStarted: "call.started",
    CallAnswered: "call.answered",
    HandoffStarted: "handoff.started",
    HandoffFinished: "handoff.finished",
    CallEnded: "call.ended",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One event as it is sent: its name, and a `CallSummary` as JSON."""

    name: EventName
    body: str


class Reader:
    """One who listens: `async for notice in reader`, which ends when the feed lets the reader go."""

    def __init__(self) -> None:
        # One place more than notices may take, for the None that ends it.
        self._waiting: asyncio.Queue[Notice | None] = asyncio.Queue(WAITING_EVENTS + 1)

    def tell(self, notice: Notice) -> bool:
        """Queue a notice; false where too many wait already."""
        if self._waiting.qsize() >= WAITING_EVENTS:
            return False
        self._waiting.put_nowait(notice)
        return True

    def end(self) -> None:
        """Forget what waits, and end."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Notice]:
        while (notice := await self._waiting.get()) is not None:
            yield notice


class EventFeed:
    """An `Observer` that passes each project's events on. Belongs to one event loop."""

    def __init__(self) -> None:
        # Dicts for their order: the first reader is the oldest.
        self._readers: defaultdict[tuple[str, str], dict[Reader, None]] = defaultdict(dict)
        self._closed = False

    def __call__(self, event: CallEvent, /) -> None:
        """Pass an event on; costs next to nothing where nobody listens."""
        if not isinstance(event, _Told):
            return
        readers = self._readers.get((event.record.client, event.record.project))
        if not readers:
            return
        notice = Notice(_NAMES[type(event)], CallSummary.of(event.record).model_dump_json())
        for reader in [reader for reader in readers if not reader.tell(notice)]:
            logger.warning(
                "a reader of events was too slow and is let go",
                extra={"client": event.record.client, "project": event.record.project},
            )
            del readers[reader]
            reader.end()

    @contextmanager
    def reader(self, client: str, project: str) -> Iterator[Reader]:
        """Listen to a project for as long as the block lasts."""
        readers = self._readers[client, project]
        if len(readers) >= READERS_OF_A_PROJECT:
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
        """Let every reader go, those too that come later."""
        self._closed = True
        for readers in self._readers.values():
            for reader in readers:
                reader.end()
