"""The reading of one connection, which pauses while the chat is full, and beyond a rate of frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# A chat has a few frames per second, of some 30 µs each. A flood must not slow other chats and calls down.
FRAMES_PER_SECOND = 200.0
BURST_SECONDS = 5.0  # so long at that rate, at once
FRAME_BYTES = 4096  # a longer frame counts as several


class Reading:
    """Pauses and resumes a transport. `on_flood` is called when the rate is exceeded for the first time."""

    __slots__ = ("_has_flooded", "_held", "_loop", "_on_flood", "_paid_until", "_rest", "_transport")  # one per chat

    def __init__(self, on_flood: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_flood = on_flood
        self._transport: asyncio.Transport | None = None
        self._held = False
        self._rest: asyncio.TimerHandle | None = None
        self._paid_until = 0.0  # the time at which all frames so far are within the rate
        self._has_flooded = False

    @property
    def is_paused(self) -> bool:
        """True while nothing is read."""
        return self._held or self._rest is not None

    def start(self, transport: asyncio.Transport) -> None:
        """Control this transport, which reads."""
        self._transport = transport

    def stop(self) -> None:
        """Leave the transport as it is."""
        self._transport = None
        if self._rest is not None:
            self._rest.cancel()

    def hold(self, *, on: bool) -> None:
        """Read nothing while `on`."""
        was_paused, self._held = self.is_paused, on
        self._apply(was_paused)

    def count(self, size: int, now: float) -> None:
        """Count a frame that was read; beyond the rate, read nothing until it is kept again."""
        cost = (1 + size // FRAME_BYTES) / FRAMES_PER_SECOND
        self._paid_until = max(self._paid_until, now - BURST_SECONDS) + cost
        if self._paid_until > now and self._rest is None and self._transport is not None:
            was_paused, self._rest = self.is_paused, self._loop.call_at(self._paid_until, self._end_rest)
            self._apply(was_paused)
            if not self._has_flooded:
                self._has_flooded = True
                self._on_flood()

    def _end_rest(self) -> None:
        # More frames may have been in the last read.
        if self._paid_until > self._loop.time():
            self._rest = self._loop.call_at(self._paid_until, self._end_rest)
            return
        self._rest = None
        self._apply(was_paused=True)

    def _apply(self, was_paused: bool) -> None:  # noqa: FBT001 (its one argument)
        if self._transport is None or self._transport.is_closing() or was_paused == self.is_paused:
            return
        if self.is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
