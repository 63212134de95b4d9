"""The calls to the boxes: the newest, with their results."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sipbridge.simulators.cxone.digital.waiters import Waiters

MAX_CALLS = 5000


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call: its kind (token, message, typing), and its status, `no_response`, `lost` or `bad_response`."""

    kind: str
    channel: str
    thread: str
    path: str
    body: Mapping[str, Any]
    result: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON."""
        return {
            "at": self.at,
            "kind": self.kind,
            "channel": self.channel,
            "thread": self.thread,
            "path": self.path,
            "body": self.body,
            "result": self.result,
        }


class CallLog:
    """The newest calls. `waiters` wait for one."""

    def __init__(self) -> None:
        self.waiters: Waiters[CallRecord] = Waiters()
        self._records: deque[CallRecord] = deque(maxlen=MAX_CALLS)

    def add(self, record: CallRecord) -> None:
        """Record a call."""
        self._records.append(record)
        self.waiters.notify(record)

    def records(self) -> list[CallRecord]:
        """Return the newest calls, oldest first."""
        return list(self._records)

    def clear(self) -> None:
        """Delete the records."""
        self._records.clear()
