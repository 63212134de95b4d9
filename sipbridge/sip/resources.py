"""Whether this machine has what another leg takes: a place of PJSUA's, ports for its audio, file descriptors."""

from __future__ import annotations

import logging
import time

from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.errors import DialFailed

logger = logging.getLogger(__name__)

# A caller's leg, a SIP agent's, and that of a desk that rings while the agent waits for its NOTIFY.
LEGS_PER_CALL = 3
NO_PLACES = "legs that nothing is heard of hold the places of new ones"
_LACKS = {
    pj.RoomThere: None,
    pj.RoomNoPorts: "no two ports of sip.rtp_ports are free",
    pj.RoomNoDescriptors: "the file descriptors that are left are kept for the calls that are up",
}
_WARN_SECONDS = 10.0
_SERVICE_UNAVAILABLE = 503


class Room:
    """Asked before each leg, on the SIP thread. What lacks is logged, not more often than each 10 s.

    PJSUA takes the ports of each of its accounts in turn; `account` is that of callers.
    """

    def __init__(self, account: int) -> None:
        self._account = account
        kept = file_descriptors.reserved_from()
        # A caller has the fewest, an agent or a desk for one that is there some more; Signals and records have all.
        self._for_callers = kept
        self._for_others = kept + (file_descriptors.limit() - kept) // 2
        self._warned_at = -_WARN_SECONDS

    def lack_for_call(self) -> str | None:
        """Say what lacks for another call. Where it is nothing, the next leg that PJSUA opens has its ports."""
        places = pj.freeCalls() >= LEGS_PER_CALL
        return self._warn(self._look(self._account, self._for_callers) if places else NO_PLACES)

    def must_have_leg(self, account: int) -> None:
        """Raise `DialFailed` where another leg of ours, by that account, cannot have audio."""
        lack = self._warn(self._look(account, self._for_others))
        if lack is not None:
            raise DialFailed(_SERVICE_UNAVAILABLE, lack)

    def _look(self, account: int, reserved_from: int) -> str | None:
        return _LACKS[pj.roomForLeg(account, reserved_from)]

    def _warn(self, lack: str | None) -> str | None:
        now = time.monotonic()
        if lack is not None and now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            logger.warning("no room for another leg: %s", lack, extra={"event": "resources_exhausted"})
        return lack
