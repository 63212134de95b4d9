"""The readiness for a new call, for `/readyz` and for OPTIONS alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from sipbridge.calls.admission import Admission
from sipbridge.errors import CapacityReached, Draining, InviteRefused

# Both the event loop and the SIP thread report each second. If they have not for this long, one of them is stalled.
STALLED_SECONDS = 4.0


class Readiness:
    """The state that the event loop and the SIP thread last reported. May be read on any thread, and never blocks."""

    def __init__(self, admission: Admission, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._admission = admission
        self._clock = clock
        self._turned_at: float | None = None
        self._shortage: str | None = None

    def turned(self, shortage: str | None) -> None:
        """Record that the event loop and the SIP thread both run, and what is missing for one more call.

        The first report ends the start.
        """
        self._shortage = shortage
        self._turned_at = self._clock()

    def obstacle(self) -> InviteRefused | None:
        """Return the error with which any new INVITE would be rejected; None if one may be admitted."""
        if self._admission.draining:
            return Draining("draining")
        shortage = self._no_capacity() or self._admission.withheld
        return None if shortage is None else CapacityReached(shortage)

    def reason(self) -> str | None:
        """Return why no new call would be admitted; None if one may be."""
        obstacle = self.obstacle()
        return None if obstacle is None else str(obstacle)

    def _no_capacity(self) -> str | None:
        if self._turned_at is None:
            return "starting"
        if self._admission.full:
            return "full"
        if self._shortage is not None:
            return f"full: {self._shortage}"
        if self._admission.overloaded_recently:
            return "overloaded: calls in progress have to wait"
        if self._clock() - self._turned_at > STALLED_SECONDS:
            return "the SIP thread or the event loop is stalled"
        return None
