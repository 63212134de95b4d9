"""Why PJSIP has ended a dialog without being asked."""

from __future__ import annotations

from sipbridge.calls.model import LegFailure

_REQUEST_TIMEOUT = 408
# RFC 4028, 10, in PJSIP's words (sip_timer.c); the status alone is that of any request without a response.
_NO_REFRESH = "No session refresh"
# What PJSUA ends a session with whose SDP answer it cannot use (pjsua_call.c, sip_inv.c).
_UNUSABLE_ANSWER = frozenset({406, 415, 480, 488})
_SERVICE_UNAVAILABLE = 503


def read_failure(sip_status: int, text: str, *, acknowledged: bool) -> LegFailure:
    """Read PJSIP's cause of an end that was not the far end's. Without ACK to our 200, `acknowledged` is false."""
    if text.startswith(_NO_REFRESH):
        return LegFailure.SESSION_EXPIRED
    if sip_status in _UNUSABLE_ANSWER:
        return LegFailure.UNUSABLE_ANSWER
    if sip_status == _SERVICE_UNAVAILABLE:
        return LegFailure.TRANSPORT_FAILED
    if sip_status == _REQUEST_TIMEOUT and not acknowledged:
        return LegFailure.NO_ACK
    return LegFailure.REQUEST_FAILED
