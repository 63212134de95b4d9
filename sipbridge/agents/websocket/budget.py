"""The share of the event loop that an agent's socket may use. Beyond it reading pauses, and data is queued in TCP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast

# The share of processor time in the long run, and the burst. A message of 20 ms takes about 10 µs, so fifty per second
# take half a thousandth. An agent may send 20 times faster than real time, and minutes of audio at once.
SHARE = 0.01
BURST_SECONDS = 0.05
# While all but this is left, reads are timed by the wall clock, which costs a tenth of the processor clock. Such a read
# counts as this at most: the wall clock goes on while other programs run.
ROUGH_SECONDS = 0.001
# The longest read: one that holds only empty frames takes a few milliseconds at most.
READ_BYTES = 4096
READ_SECONDS = 10e-6  # for the read itself, of any size
_DISCARDED = bytearray(READ_BYTES)  # of all agents; nothing reads it
PAUSE_SECONDS = 0.02  # at least: a flood wakes the loop no more often than a caller's audio does
FLOOD_SECONDS = 5.0  # an agent that is over its budget for this long floods


_SIFTED = memoryview(bytearray(READ_BYTES))  # of all agents: a read is handled before the next one


def _feed(reader: asyncio.BufferedProtocol, received: bytes) -> None:
    """Let a protocol read data as if it came from a transport."""
    rest = memoryview(received)
    while rest:
        buffer = cast("memoryview", reader.get_buffer(len(rest)))
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        reader.buffer_updated(count)
        rest = rest[count:]


class Source(Protocol):
    """The reader of the agent's socket."""

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`."""

    def resume_reading(self) -> None:
        """Read again."""


class Budget(asyncio.BufferedProtocol):
    """Stands between a transport and the protocol that reads from it, and counts the processor time of each read.

    All work that the peer causes counts: frames, pings, JSON, handoffs. While `is_deaf` returns True, received bytes
    are discarded unread. `on_flood` is called once.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        on_flood: Callable[[], None],
        is_deaf: Callable[[], bool],
        *,
        clock: Callable[[], float] | None = None,
        processor_clock: Callable[[], float] = time.thread_time,
        wall_clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._transport = transport
        self._source: Source = transport
        self._inner = cast(asyncio.BufferedProtocol, transport.get_protocol())
        self._inner_buffer: Callable[[int], memoryview | bytearray]
        self._inner_updated: Callable[[int], None]
        self.sift(None)
        self._on_flood = on_flood
        self._is_deaf = is_deaf
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._processor_clock = processor_clock
        self._wall_clock = wall_clock
        self._deaf = False  # for the read in progress
        self._left = BURST_SECONDS
        self._counted_at = self._clock()
        self._over_since: float | None = None
        self._noted = False
        self._pause: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    @property
    def is_over(self) -> bool:
        """True if reading is or was just paused: data that the peer has sent may still be unread."""
        return self._over_since is not None

    def read_from(self, source: Source | None) -> None:
        """Let data come from another source, which calls `receive`, or with None from the transport again."""
        before, self._source = self._source, source or self._transport
        if self._pause is None:
            before.pause_reading()
            self._source.resume_reading()

    def receive(self, received: bytes) -> None:
        """Handle data that did not come from the transport."""
        _feed(self, received)

    def sift(self, sieve: Callable[[bytes], bytes] | None) -> None:
        """Pass only what this returns of each read to the inner protocol; None ends that."""
        # Bound once, as these run for each message of each call.
        if sieve is None:
            self._inner_buffer = cast(Callable[[int], memoryview | bytearray], self._inner.get_buffer)
            self._inner_updated = self._inner.buffer_updated
            return

        def updated(nbytes: int) -> None:
            if rest := sieve(bytes(_SIFTED[:nbytes])):
                _feed(self._inner, rest)

        self._inner_buffer = lambda _sizehint: _SIFTED
        self._inner_updated = updated

    # ------------------------------------------------------------ what the transport calls

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        """Return the buffer of the inner protocol for the next read."""
        self._deaf = self._is_deaf()
        if self._deaf:
            return _DISCARDED
        buffer = self._inner_buffer(sizehint)
        return buffer if len(buffer) <= READ_BYTES else memoryview(buffer)[:READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the bytes to the inner protocol, and pause if it has used too much time."""
        if self._deaf:
            self._count(READ_SECONDS)
        elif self._left > BURST_SECONDS - ROUGH_SECONDS:
            began = self._wall_clock()
            self._inner_updated(nbytes)
            self._count(min(ROUGH_SECONDS, self._wall_clock() - began) + READ_SECONDS)
        else:
            began = self._processor_clock()
            self._inner_updated(nbytes)
            self._count(self._processor_clock() - began + READ_SECONDS)

    def eof_received(self) -> bool | None:
        """Forward to the inner protocol."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forward to the inner protocol."""
        if self._pause is not None:
            self._pause.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Forward to the inner protocol."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Forward to the inner protocol."""
        self._inner.resume_writing()

    # ------------------------------------------------------------ inside

    def _count(self, spent: float) -> None:
        now = self._clock()
        left = self._left + (now - self._counted_at) * SHARE
        self._counted_at = now
        if left >= BURST_SECONDS:
            left, self._over_since = BURST_SECONDS, None
        self._left = left - spent
        if self._left < 0 and self._pause is None and not self._transport.is_closing():
            self._source.pause_reading()
            self._pause = self._loop.call_later(PAUSE_SECONDS - self._left / SHARE, self._resume)
            self._note(now)

    def _note(self, now: float) -> None:
        if self._over_since is None:
            self._over_since = now
        elif not self._noted and now - self._over_since >= FLOOD_SECONDS:
            self._noted = True
            self._on_flood()

    def _resume(self) -> None:
        self._pause = None
        if not self._transport.is_closing():
            self._source.resume_reading()
