"""The seam between calls and `telemetry` and `web`: all events of calls."""

from __future__ import annotations

from typing import Protocol

from sipbridge.calls.events import CallEvent


class Observer(Protocol):
    """A listener for all events of calls. Must be quick and must not raise."""

    def __call__(self, event: CallEvent, /) -> None:
        """Handle an event."""
