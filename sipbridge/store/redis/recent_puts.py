"""The records that Redis got a moment ago, to be written again after a failover.

Redis replicates late, so the replica that becomes the primary may be without the last of them, and nothing would put
the last record of a call again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from sipbridge.store.calls.backlog import Entry, Erasure

# A failover takes a minute at most, and Redis replicates less late. They are not kept for much longer: what has
# expired, or was erased at another node, must not come back.
KEPT_SECONDS = 180.0
MAX_KEPT = 10_000
MAX_CHARACTERS = 64_000_000  # of all records: a transcript may be long


class RecentPuts:
    """The newest put of each call, for `KEPT_SECONDS` while others follow it; and those that must be written again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Entry]] = {}  # by call, the oldest first
        self._characters = 0
        self._due: dict[str, Entry] = {}  # the same entries, or fewer

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def has_due(self) -> bool:
        """True if puts must be written again."""
        return bool(self._due)

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep puts that were written, unless a later one of their call is there: batches may be settled late."""
        now = self._clock()
        for entry in entries:
            _, kept = self._kept.get(entry.row.call_id, (now, entry))
            if kept.number <= entry.number:
                self._forget(entry.row.call_id)
                # Without its futures, which have had their result.
                self._kept[entry.row.call_id] = (now, entry._replace(waiters=[]))
                self._characters += len(entry.row.body)
        self._prune(now)

    def erase(self, erasure: Erasure) -> None:
        """Forget the puts that an erasure affects: it must not be undone."""
        erased = [entry for _, entry in self._kept.values() if erasure.matches(entry.row)]
        for entry in erased:
            self._forget(entry.row.call_id)

    def write_again(self) -> None:
        """Let all puts be due."""
        self._prune(self._clock())
        self._due = {call_id: entry for call_id, (_, entry) in self._kept.items()}

    def due(self, limit: int) -> list[Entry]:
        """Return puts that must be written again, the oldest first, until `written_again`."""
        self._prune(self._clock())
        return list(islice(self._due.values(), limit))

    def written_again(self, entries: Sequence[Entry]) -> None:
        """Note that Redis has these puts again, or newer ones of their calls."""
        for entry in entries:
            if self._due.get(entry.row.call_id) is entry:
                del self._due[entry.row.call_id]

    def _prune(self, now: float) -> None:
        while self._kept:
            call_id, (written_at, _) = next(iter(self._kept.items()))
            is_full = len(self._kept) > MAX_KEPT or self._characters > MAX_CHARACTERS
            if not is_full and written_at > now - KEPT_SECONDS:
                return
            self._forget(call_id)

    def _forget(self, call_id: str) -> None:
        _, entry = self._kept.pop(call_id, (0.0, None))
        self._due.pop(call_id, None)
        if entry is not None:
            self._characters -= len(entry.row.body)
