"""Whether the bridge is behind with the calls that it has: then it takes no new ones, and so catches up.

Two queues can grow. What the SIP thread has read waits for the event loop; what it has not read waits in the SIP
socket, INVITEs and the BYEs of calls in progress alike, until the kernel drops what finds no room. A refusal costs a
tenth of a call, so that the thread comes to the end of its queue even when several times too many calls are offered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# An event loop that is later than this with the news of calls does not keep up.
LOOP_SECONDS = 0.05
# Some 30 messages, a hundredth of a second or two of the SIP thread's time.
SOCKET_BYTES = 64 * 1024
# For so long both may be: calls that come all at once, or a machine that stood still for a moment, are no overload.
PATIENCE_SECONDS = 0.15
# With no INVITE for so long, what the one before it saw says nothing any more.
FORGOTTEN_SECONDS = 0.5
# After a refusal patience is gone for so long: else the queue would grow long again each time that it was worked off.
ALERT_SECONDS = 2.0


class Overload:
    """Asked at each new INVITE, on the SIP thread. `loop_lag` is in seconds, `bytes_waiting` as `pj.bytesWaiting`."""

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
        self._alert_until = self._looked_at = clock()

    def __call__(self) -> bool:
        """Whether calls in progress are being kept waiting, and not just for a moment."""
        now = self._clock()
        forgotten, self._looked_at = now - self._looked_at > FORGOTTEN_SECONDS, now
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
