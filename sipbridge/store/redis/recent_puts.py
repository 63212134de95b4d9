"""The records that Redis got a moment ago, to be written again after a failover.

Redis replicates late, so the replica that becomes the primary may be without the last of them, and nothing would put
the last record of a call again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sipbridge.store.calls.backlog import Entry, Erasure

# A failover takes a minute at most, and Redis replicates less late. They are not kept for much longer: what has
# expired, or was erased at another node, must not come back.
KEPT_SECONDS = 180.0
MAX_KEPT = 10_000


class RecentPuts:
    """The newest put of each call, for `KEPT_SECONDS` while others follow it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Entry]] = {}  # by call, the oldest first

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep puts that were written, unless a later one of their call is there: batches may be settled late."""
        now = self._clock()
        for entry in entries:
            _, kept = self._kept.get(entry.row.call_id, (now, entry))
            if kept.number <= entry.number:
                self._kept.pop(entry.row.call_id, None)
                self._kept[entry.row.call_id] = (now, entry)
        self._prune(now)

    def erase(self, erasure: Erasure) -> None:
        """Forget the puts that an erasure affects: it must not be undone."""
        erased = [entry for _, entry in self._kept.values() if erasure.matches(entry.row)]
        for entry in erased:
            del self._kept[entry.row.call_id]

    def entries(self) -> list[Entry]:
        """Return the puts, oldest first."""
        self._prune(self._clock())
        return [entry for _, entry in self._kept.values()]

    def _prune(self, now: float) -> None:
        while self._kept:
            call_id, (written_at, _) = next(iter(self._kept.items()))
            if len(self._kept) <= MAX_KEPT and written_at > now - KEPT_SECONDS:
                return
            del self._kept[call_id]
