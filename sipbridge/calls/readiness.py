"""The readiness for a new call: one judgement, for `/readyz` and for OPTIONS alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from sipbridge.calls.admission import Admission
from sipbridge.errors import CapacityReached, Draining, InviteRefused

# The event loop and the SIP thread turn together each second. So long after the last time one of them is stalled.
STALLED_SECONDS = 4.0


class Readiness:
    """Asked from any thread: it only reads what others have noted, and never waits for them."""

    def __init__(self, admission: Admission, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._admission = admission
        self._clock = clock
        self._turned_at: float | None = None
        self._shortage: str | None = None

    def turned(self, shortage: str | None) -> None:
        """Note that the event loop and the SIP thread both turn, and what the latter lacks for another call.

        The first time ends the start.
        """
        self._shortage = shortage
        self._turned_at = self._clock()

    def obstacle(self) -> InviteRefused | None:
        """Return what a new INVITE would be rejected with, whatever it asks for; None if it may be admitted."""
        if self._admission.draining:
            return Draining("draining")
        shortage = self._no_capacity()
        return None if shortage is None else CapacityReached(shortage)

    def reason(self) -> str | None:
        """Return why no new call would be taken; None if one would."""
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
