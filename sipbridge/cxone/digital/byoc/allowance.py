"""A share of CXone's limit on the requests for one contact."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """A number of actions at once, and more of them per minute (a token bucket)."""

    def __init__(self, at_once: int, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = float(at_once)
        self._per_second = per_minute / 60
        self._clock = clock
        self._left, self._counted_at = self._at_once, clock()

    def take(self) -> bool:
        """True if one more action is allowed now; it is counted."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
