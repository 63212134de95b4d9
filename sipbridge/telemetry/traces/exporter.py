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

    A batch that the collector does not accept is lost but for one span, and counted as failed. While it is down, single
    spans ask for it, and all of them wait. Those that find the queue full are lost, and counted as dropped.
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
            pause = self._interval if self._send_waiting() else self._next_pause(pause)
        if self._up:
            self._send_waiting()

    def _next_pause(self, last: float) -> float:
        return min(max(2 * last, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)

    def _send_waiting(self) -> bool:
        """Send all that waits; return False if the collector has not accepted it. Only if it has, it is up."""
        fault = None if self._up else self._ask()
        while fault is None and self._waiting:
            fault = self._send_batch()
        self._note(fault)
        return fault is None

    def _ask(self) -> str | None:
        """Send one span, which waits again if it is not accepted; without any, an empty request.

        The response to an empty request says little: some backends refuse it, and some accept it but no spans.
        """
        asking = [self._waiting.popleft()] if self._waiting else []
        fault = self._send(asking)
        if fault is None:
            self._exported += len(asking)
        else:
            self._waiting.extend(asking)  # as the last one: it may be the span that is refused
        return fault

    def _send_batch(self) -> str | None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        fault = self._send(batch)
        if fault is None:
            self._exported += len(batch)
        else:
            # One asks for the collector, also if no call follows for a long time.
            self._waiting.appendleft(batch[0])
            self._failed += len(batch) - 1
        return fault

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
