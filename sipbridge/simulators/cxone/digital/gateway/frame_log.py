"""The received frames: the newest with their results, and the counts of all."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sipbridge.simulators.cxone.digital.waiters import Waiters

MAX_FRAMES = 2000


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame of the client and its result: `ok`, `lost`, `dropped`, or the code of the error frame."""

    at: datetime
    type: str
    channel: str
    customer: str
    result: str
    frame: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON."""
        return {
            "at": self.at,
            "type": self.type,
            "channel": self.channel,
            "customer": self.customer,
            "result": self.result,
            "frame": self.frame,
        }


class FrameLog:
    """The log. Heartbeats are only counted."""

    def __init__(self) -> None:
        self.waiters: Waiters[FrameRecord] = Waiters()
        self._records: deque[FrameRecord] = deque(maxlen=MAX_FRAMES)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, kind: str, channel: str, customer: str, result: str, frame: Mapping[str, Any]) -> None:
        """Record a frame."""
        self.count(kind, result)
        record = FrameRecord(datetime.now(UTC), kind, channel, customer, result, frame)
        self._records.append(record)
        self.waiters.notify(record)

    def count(self, kind: str, result: str) -> None:
        """Count a frame, or an attempt to connect."""
        self._counts[kind][result] += 1

    def records(self) -> list[FrameRecord]:
        """Return the newest frames, oldest first."""
        return list(self._records)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how often each event had each result."""
        return {kind: dict(results) for kind, results in self._counts.items()}

    def clear(self) -> None:
        """Delete records and counts."""
        self._records.clear()
        self._counts.clear()
