"""A circuit breaker: while CXone is down, callers go to a human agent without waiting for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_FAILURES_TO_OPEN = 5
_OPEN_SECONDS = 10.0
_MAX_OPEN_SECONDS = 300.0  # a Retry-After of a day may be far too long; one probe every five minutes does no harm

logger = logging.getLogger(__name__)


class Breaker:
    """The circuit breaker of one client.

    Five failures in a row open it. While it is open, it admits one probe every 10 s, or at the interval that CXone
    asked for. The result of the probe closes it or keeps it open. A probe without a result is followed by the next.
    """

    def __init__(self, client: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while it holds requests back."""
        return self._failures >= _FAILURES_TO_OPEN

    def admits(self) -> bool:
        """Return True if a request may be sent now. If that is a probe, the next one is admitted after 10 s."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + _OPEN_SECONDS
        return True

    def record_response(self) -> None:
        """Record that CXone responded, with whatever status."""
        if self.is_open:
            logger.info("CXone responds again", extra={"event": "cxone_breaker_closed", "client": self._client})
        self._failures = 0

    def record_failure(self, retry_after: float | None = None) -> None:
        """Record that CXone did not respond, or asked for a pause of `retry_after` seconds."""
        was_open = self.is_open
        self._failures += 1
        if not self.is_open:
            return
        pause = min(max(_OPEN_SECONDS, retry_after or 0.0), _MAX_OPEN_SECONDS)
        self._probe_at = max(self._probe_at, self._clock() + pause)
        if not was_open:
            logger.warning(
                "CXone does not respond: Signals held back for %.0f s",
                pause,
                extra={"event": "cxone_breaker_opened", "client": self._client},
            )
