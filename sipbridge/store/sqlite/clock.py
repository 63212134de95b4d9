"""How old records are, though the clock of the machine may be set while we run."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

logger = logging.getLogger(__name__)

SLACK_SECONDS = 60.0  # less is drift and slewing, which are followed

_MICROSECONDS = 1_000_000


class Clock:
    """The wall clock, held against one that nobody sets.

    A step of the wall clock is believed once it has lasted for `doubt`: until then `earliest` and `latest` give both
    opinions. Stamp with `latest`, and erase by `earliest`: then no step erases what is young. With `doubt` as long as
    records are kept, a step that is believed erases nothing either that is not old by both clocks.
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
        """See whether the wall clock was set; to be called every few seconds."""
        steady = _steady()
        offset = time.time() - steady
        if abs(offset - self._offset) <= SLACK_SECONDS:
            self._offset, self._stepped_to = offset, None
        elif self._stepped_to is None or abs(offset - self._stepped_to) > SLACK_SECONDS:
            self._stepped_to, self._stepped_at = offset, steady
            step = round(offset - self._offset)
            logger.warning(
                "the clock was set by %+d s; if it stays so, records are erased by it after %g s",
                step,
                self._doubt_seconds,
                extra={"event": "clock_stepped", "seconds": step},
            )
        elif steady - self._stepped_at >= self._doubt_seconds:
            self._offset, self._stepped_to = offset, None


def _steady() -> float:
    """Seconds that only go forward, a suspended machine's included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
