"""The resources that another leg needs: a slot of PJSUA, RTP ports, file descriptors. On the SIP thread."""

from __future__ import annotations

import logging
import time

from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.errors import DialFailed
from sipbridge.sip.pjsip_functions import ResourceFunctions
from sipbridge.telephony.sip_status import SipStatus

logger = logging.getLogger(__name__)

# The caller's leg, a SIP agent's, and that of a desk that rings while the agent waits for its NOTIFY.
LEGS_PER_CALL = 3
NO_SLOTS = "legs whose peers do not respond hold the slots of new ones"
_SHORTAGES = {
    pj.Available: None,
    pj.NoPorts: "no two ports of sip.rtp_ports are free",
    pj.NoDescriptors: "the remaining file descriptors are reserved for calls in progress",
}
_WARNING_SECONDS = 10.0


class MediaResources:
    """Checks the resources before each leg, and logs a shortage at most every 10 s.

    PJSUA gives each of its accounts RTP ports separately; `account` is the callers' account.
    """

    def __init__(self, account: int, native: ResourceFunctions) -> None:
        self._account = account
        self._native = native
        reserved_from = file_descriptors.reserved_from()
        # Callers may use the fewest descriptors, agents and desks of calls in progress more, Signals and records all.
        self._limit_for_callers = reserved_from
        self._limit_for_others = reserved_from + (file_descriptors.limit() - reserved_from) // 2
        self._logged_at = -_WARNING_SECONDS

    def shortage(self) -> str | None:
        """Return the missing resource for another call; None reserves the ports of the next leg that PJSUA opens."""
        if self._native.freeCalls() < LEGS_PER_CALL:
            return self._log(NO_SLOTS)
        return self._log(self._shortage_for_leg(self._account, self._limit_for_callers))

    def require_for_leg(self, account: int) -> None:
        """Raise `DialFailed` if another outgoing leg of that account cannot have audio."""
        shortage = self._log(self._shortage_for_leg(account, self._limit_for_others))
        if shortage is not None:
            raise DialFailed(SipStatus.SERVICE_UNAVAILABLE, shortage)

    def _shortage_for_leg(self, account: int, descriptor_limit: int) -> str | None:
        return _SHORTAGES[self._native.resourcesForLeg(account, descriptor_limit)]

    def _log(self, shortage: str | None) -> str | None:
        now = time.monotonic()
        if shortage is not None and now - self._logged_at >= _WARNING_SECONDS:
            self._logged_at = now
            logger.warning("no resources for another leg: %s", shortage, extra={"event": "resources_exhausted"})
        return shortage
