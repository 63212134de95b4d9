"""An observer that keeps all events."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from sipbridge.calls.events import CallEvent
from sipbridge.calls.ports.observer import Observer

E = TypeVar("E")


class RecordingObserver:
    """Implements `Observer`."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: CallEvent, /) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        """Return the only event of a kind."""
        (event,) = self.of(kind)
        return event

    async def until(self, kind: type[E]) -> E:
        """Wait for the first event of a kind."""
        while not self.of(kind):
            self._changed.clear()
            await self._changed.wait()
        return self.of(kind)[0]


def _implements(observer: RecordingObserver) -> Observer:
    return observer
