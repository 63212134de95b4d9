"""The reason for which PJSIP ended a dialog on its own."""

from __future__ import annotations

from sipbridge.calls.model import LegFailure
from sipbridge.telephony.sip_status import SipStatus

# RFC 4028, 10, in PJSIP's words (sip_timer.c). The status alone is that of any request without a response.
_NO_REFRESH = "No session refresh"
# The statuses with which PJSUA ends a session whose SDP answer it cannot use (pjsua_call.c, sip_inv.c).
_UNUSABLE_ANSWER = frozenset(
    {
        SipStatus.NOT_ACCEPTABLE,
        SipStatus.UNSUPPORTED_MEDIA_TYPE,
        SipStatus.TEMPORARILY_UNAVAILABLE,
        SipStatus.NOT_ACCEPTABLE_HERE,
    }
)


def read_failure(sip_status: int, text: str, *, acknowledged: bool) -> LegFailure:
    """Return the failure that PJSIP's cause stands for. `acknowledged` is false if our 200 got no ACK."""
    if text.startswith(_NO_REFRESH):
        return LegFailure.SESSION_EXPIRED
    if sip_status in _UNUSABLE_ANSWER:
        return LegFailure.UNUSABLE_ANSWER
    if sip_status == SipStatus.SERVICE_UNAVAILABLE:
        return LegFailure.TRANSPORT_FAILED
    if sip_status == SipStatus.REQUEST_TIMEOUT and not acknowledged:
        return LegFailure.NO_ACK
    return LegFailure.REQUEST_FAILED
