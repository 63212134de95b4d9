"""A limit on the rate of each source, by a token bucket per source."""

from __future__ import annotations

from collections.abc import Callable

# Sources remembered. A trunk has a few; more come from a sender that forges its address.
MAX_SOURCES = 10_000


class RateLimiter:
    """Allows each source `per_second` events per second, and as many at once. Belongs to one thread."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        # Per source: the tokens that were left, and when.
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, source: str) -> bool:
        """True if the source may have one more event now; that event is counted."""
        now = self._clock()
        tokens, since = self._buckets.pop(source, (float(self._per_second), now))
        tokens = min(float(self._per_second), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        # Removed and added again, so that the first entry is the source that has been quiet longest.
        self._buckets[source] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_SOURCES:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def refund(self, source: str) -> None:
        """Uncount an event that was allowed."""
        if source in self._buckets:
            tokens, since = self._buckets[source]
            self._buckets[source] = (min(tokens + 1, float(self._per_second)), since)
