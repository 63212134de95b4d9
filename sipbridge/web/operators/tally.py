"""The outcomes of the last hour, counted by kind, client and project."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sipbridge.handoffs.outcome import Result

MINUTES = 60
# Each has a client, a project and a reason of the bridge, so there are few. If not, the rest have the reason `other`.
MAX_SERIES = 1_000

Kind = Literal["call", "handoff", "chat", "agent", "signal", "token"]
HEALTH: frozenset[Kind] = frozenset({"agent", "signal", "token"})  # whose newest outcome says if a part works


Part = tuple[Kind, str, str]  # a kind, client and project


class Series(NamedTuple):
    """The properties of outcomes that are counted together.

    `project` is empty for Signals and tokens, which are the client's.
    """

    kind: Kind
    client: str
    project: str
    result: Result
    reason: str

    @property
    def part(self) -> Part:
        """The kind, client and project."""
        return self[:3]


class Latest(NamedTuple):
    """The newest outcome of a kind, client and project."""

    at: datetime
    series: Series


class Tally:
    """The outcomes of the last hour, counted per minute. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: deque[tuple[int, Counter[Series]]] = deque()
        self._totals: Counter[Series] = Counter()
        self._latest: dict[Part, Latest] = {}

    def count(self, series: Series) -> None:
        """Count an outcome that happens now."""
        minute = self._forget()
        if series not in self._totals and len(self._totals) >= MAX_SERIES:
            series = series._replace(reason="other")
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][series] += 1
        self._totals[series] += 1
        self._latest[series.part] = Latest(datetime.now(UTC), series)

    def totals(self) -> dict[Series, int]:
        """Return how often each outcome happened."""
        self._forget()
        return dict(self._totals)

    def latest(self) -> Iterator[Latest]:
        """Return the newest outcome of each kind, client and project."""
        self._forget()
        seen = {series.part for series in self._totals}
        self._latest = {key: latest for key, latest in self._latest.items() if key in seen}
        return iter(self._latest.values())

    def _forget(self) -> int:
        """Subtract the minutes that are an hour old; return the present one."""
        minute = int(self._clock() // 60)
        while self._minutes and self._minutes[0][0] <= minute - MINUTES:
            _, counts = self._minutes.popleft()
            self._totals -= counts  # removes those that are 0
        return minute
