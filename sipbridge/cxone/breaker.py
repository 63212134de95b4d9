"""Stops asking a CXone that is down, so that callers go to a human without waiting for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_FAILURES_TO_OPEN = 5
_OPEN_SECONDS = 10.0
_MAX_OPEN_SECONDS = 300.0  # a Retry-After of a day would outlive the trouble; a probe every five minutes hurts nobody

logger = logging.getLogger(__name__)


class Breaker:
    """A circuit breaker of one client.

    Five failures in a row open it. While it is open nothing passes but, every 10 s or what CXone asked to wait, one
    probe; what the probe finds closes it or keeps it open. A probe that never reports is followed by the next.
    """

    def __init__(self, client: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it holds requests back."""
        return self._failures >= _FAILURES_TO_OPEN

    def admits(self) -> bool:
        """Whether a request may go out now; where it is the probe, the next one is 10 s away."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + _OPEN_SECONDS
        return True

    def answered(self) -> None:
        """Note that CXone answered, whatever it said."""
        if self.is_open:
            logger.info("CXone answers again", extra={"event": "cxone_breaker_closed", "client": self._client})
        self._failures = 0

    def failed(self, retry_after: float | None = None) -> None:
        """Note that CXone was not there, or asked to be left alone for `retry_after` seconds."""
        was_open = self.is_open
        self._failures += 1
        if not self.is_open:
            return
        pause = min(max(_OPEN_SECONDS, retry_after or 0.0), _MAX_OPEN_SECONDS)
        self._probe_at = max(self._probe_at, self._clock() + pause)
        if not was_open:
            logger.warning(
                "CXone does not answer: Signals are held back for %.0f s",
                pause,
                extra={"event": "cxone_breaker_opened", "client": self._client},
            )
