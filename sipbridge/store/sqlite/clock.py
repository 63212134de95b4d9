"""The age of records, even if the system clock is changed while the bridge runs."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

logger = logging.getLogger(__name__)

SLACK_SECONDS = 60.0  # a smaller change is drift or slewing and is followed at once

_MICROSECONDS = 1_000_000


class Clock:
    """The wall clock, compared with a monotonic one.

    A step of the wall clock is accepted once it has lasted for `doubt`. Until then `earliest` and `latest` are the
    times with and without the step. Stamp with `latest` and erase by `earliest`, so that a step erases nothing young.
    If `doubt` is the retention time, an accepted step erases only what is old by both clocks.
    """

    def __init__(self, doubt: timedelta) -> None:
        self._doubt_seconds = doubt.total_seconds()
        self._offset = time.time() - _steady()
        self._stepped_to: float | None = None
        self._stepped_at = 0.0

    def earliest(self) -> int:
        """Microseconds since 1970 by the clock that is behind."""
        return round(min(time.time(), _steady() + self._offset) * _MICROSECONDS)

    def latest(self) -> int:
        """Microseconds since 1970 by the clock that is ahead."""
        return round(max(time.time(), _steady() + self._offset) * _MICROSECONDS)

    def watch(self) -> None:
        """Check for a step of the wall clock. Call it every few seconds."""
        steady = _steady()
        offset = time.time() - steady
        if abs(offset - self._offset) <= SLACK_SECONDS:
            self._offset, self._stepped_to = offset, None
        elif self._stepped_to is None or abs(offset - self._stepped_to) > SLACK_SECONDS:
            self._stepped_to, self._stepped_at = offset, steady
            step = round(offset - self._offset)
            logger.warning(
                "system clock changed by %+d s; if it stays changed, retention follows it after %g s",
                step,
                self._doubt_seconds,
                extra={"event": "clock_stepped", "seconds": step},
            )
        elif steady - self._stepped_at >= self._doubt_seconds:
            self._offset, self._stepped_to = offset, None


def _steady() -> float:
    """Return monotonic seconds, which include the time that the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
