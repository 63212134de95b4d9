"""The seam between calls and `telemetry`, `webhooks`, `store` and `web`: all events of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sipbridge.calls.events import CallEvent

# A handler for each type of event.
Handlers = Mapping[type, Callable[[Any], None]]


class Observer(Protocol):
    """A listener for events of calls. Must be quick and must not raise."""

    def __call__(self, event: CallEvent, /) -> None:
        """Handle an event."""


class SelectiveObserver:
    """An `Observer` of the events that it has a handler for. All others cost it nothing (app/fan_out.py)."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def __call__(self, event: CallEvent, /) -> None:
        """Handle an event, if it has a handler for its type."""
        handle = self.handlers.get(type(event))
        if handle is not None:
            handle(event)
