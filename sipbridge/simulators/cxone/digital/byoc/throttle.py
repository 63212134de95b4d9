"""The throttle of one contact: a burst of requests, which refills slowly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Throttle:
    """The requests that each contact has left (a token bucket per contact)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, contact_id: str, burst: int, per_minute: float) -> int | None:
        """Count a request; return None if it is admitted, else the whole seconds after which one will be."""
        now = self._clock()
        bucket = self._buckets.setdefault(contact_id, _Bucket(burst, now))
        bucket.left = min(burst, bucket.left + (now - bucket.at) * per_minute / 60)
        bucket.at = now
        if bucket.left < 1:
            return math.ceil((1 - bucket.left) * 60 / per_minute)
        bucket.left -= 1
        return None

    def forget(self, contact_id: str) -> None:
        """Delete the bucket of a contact."""
        self._buckets.pop(contact_id, None)
