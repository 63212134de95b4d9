"""Overload: calls in progress are kept waiting. The bridge then rejects new calls, and so catches up.

Two queues can grow. What the SIP thread has read waits for the event loop. What it has not read waits in the SIP
socket, new INVITEs and the BYEs of calls in progress alike, until the kernel drops what exceeds the buffer. A rejection
costs a tenth of a call, so the thread drains its queue even when several times too many calls are offered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# An event loop that handles events later than this does not keep up.
LOOP_SECONDS = 0.05
# About 30 messages, which the SIP thread handles in 0.01 to 0.02 s.
SOCKET_BYTES = 64 * 1024
# Either may last for this long: calls that arrive together, or a machine that paused for a moment, are not an overload.
PATIENCE_SECONDS = 0.15
# The last check says nothing if no INVITE has come for this long.
FORGOTTEN_SECONDS = 0.5
# After a rejection there is no patience for this long: the queue would grow long again each time that it was drained.
ALERT_SECONDS = 2.0


class Overload:
    """Called for each new INVITE, on the SIP thread. `loop_lag` is in seconds, `bytes_waiting` as `pj.bytesWaiting`."""

    def __init__(
        self,
        loop_lag: Callable[[], float],
        bytes_waiting: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop_lag = loop_lag
        self._bytes_waiting = bytes_waiting
        self._clock = clock
        self._behind_since: float | None = None
        self._alert_until = self._checked_at = clock()

    def __call__(self) -> bool:
        """Return true if calls in progress have been kept waiting for longer than a moment."""
        now = self._clock()
        forgotten, self._checked_at = now - self._checked_at > FORGOTTEN_SECONDS, now
        if not self._is_behind():
            self._behind_since = None
            return False
        if self._behind_since is None or forgotten:
            self._behind_since = now
        if now < self._alert_until or now - self._behind_since > PATIENCE_SECONDS:
            self._alert_until = now + ALERT_SECONDS
            return True
        return False

    def _is_behind(self) -> bool:
        return self._bytes_waiting() > SOCKET_BYTES or self._loop_lag() > LOOP_SECONDS
