"""The exporter: spans wait in a bounded queue, and a thread sends them to the collector by OTLP over HTTP.

The batch processor of OpenTelemetry's SDK does not say how many spans it dropped, waits up to 30 s when it is closed,
and sends each batch to a collector that is down. So the queue and the thread are ours; encoding and HTTP are the SDK's.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sipbridge.telemetry.traces.span import Span

INTERVAL_SECONDS = 1.0
# An outage of a minute at 30 calls per second with ten spans each. A span takes about 1 kB.
MAX_WAITING = 20_000
# The thread holds Python's lock while it encodes a batch: about 2 ms.
BATCH = 64
# Between attempts to reach a collector that is down.
MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
CLOSE_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Collector(Protocol):
    """The connection to the collector. Its methods block."""

    def send(self, spans: Sequence[Span]) -> str | None:
        """Send spans, or ask without any if it is there. Return why it has not accepted them; None if it has."""

    def close(self) -> None:
        """Interrupt a `send` that waits for another attempt. Called on another thread."""


@dataclass(frozen=True, slots=True)
class TraceFigures:
    """The fate of the spans so far. `collector_up` is None before the first attempt."""

    exported: int
    failed: int
    dropped: int
    collector_up: bool | None


class TraceExporter:
    """A queue of spans and the thread that sends them. `add` is called on the event loop and never blocks.

    Spans that a collector does not accept are lost, and counted as failed. While it is down the next ones wait. Those
    that find the queue full are lost, and counted as dropped.
    """

    def __init__(self, collector: Collector, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._collector = collector
        self._interval = interval_seconds
        self._waiting: deque[Span] = deque()  # appended to by the loop, read by the thread
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        # Each is written by one thread only: `_dropped` by the loop, the others by our own.
        self._dropped = 0
        self._exported = 0
        self._failed = 0
        self._up: bool | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, span: Span) -> None:
        """Take a span that has ended."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
        else:
            self._waiting.append(span)

    def figures(self) -> TraceFigures:
        """Return the figures. May be called on any thread."""
        return TraceFigures(self._exported, self._failed, self._dropped, self._up)

    def close(self) -> None:
        """Send what waits if the collector is up, within `CLOSE_SECONDS`. Blocks, so never call it on the loop."""
        self._stopping.set()
        if self._up:
            self._thread.join(CLOSE_SECONDS)
        self._collector.close()

    # ------------------------------------------------------------ on the thread

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self._next_pause(pause) if not self._is_reached() or not self._send_waiting() else self._interval
        if self._up:
            self._send_waiting()

    def _next_pause(self, last: float) -> float:
        return min(max(2 * last, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)

    def _is_reached(self) -> bool:
        """Return True if the collector is up. While it is not known, ask with an empty request, which risks no span."""
        if not self._up:
            self._note(self._send([]))
        return bool(self._up)

    def _send_waiting(self) -> bool:
        """Send all batches; return False if the collector has not accepted one."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            fault = self._send(batch)
            self._note(fault)
            if fault is not None:
                self._failed += len(batch)
                return False
            self._exported += len(batch)
        return True

    def _send(self, batch: Sequence[Span]) -> str | None:
        try:
            return self._collector.send(batch)
        except Exception as error:
            logger.exception("spans could not be sent", extra={"event": "internal_error"})
            return str(error)

    def _note(self, fault: str | None) -> None:
        """Log each change. A stop interrupts attempts, which says nothing about the collector."""
        was_up, self._up = self._up, fault is None
        if fault is not None and was_up is not False and not self._stopping.is_set():
            extra = {"event": "trace_collector_down", "detail": fault}
            logger.warning("the trace collector does not accept spans", extra=extra)
        elif fault is None and was_up is False:
            logger.info("the trace collector accepts spans again", extra={"event": "trace_collector_up"})
