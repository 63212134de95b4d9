from __future__ import annotations

import pytest

from sipbridge.calls.model import LegFailure
from sipbridge.sip.ending import read_failure


@pytest.mark.parametrize(
    ("sip_status", "text", "acknowledged", "failure"),
    [
        (408, "No session refresh received.", True, LegFailure.SESSION_EXPIRED),
        (408, "Request Timeout", True, LegFailure.REQUEST_FAILED),
        (481, "Call/Transaction Does Not Exist", True, LegFailure.REQUEST_FAILED),
        (408, "Request Timeout", False, LegFailure.NO_ACK),
        (406, "SDP offer/answer incomplete", False, LegFailure.UNUSABLE_ANSWER),
        (415, "SDP negotiation failed", False, LegFailure.UNUSABLE_ANSWER),
        (488, "Unable to create media session", True, LegFailure.UNUSABLE_ANSWER),
        (503, "Service Unavailable", True, LegFailure.TRANSPORT_FAILED),
    ],
)
def test_the_cause_of_pjsip_becomes_a_failure(
    sip_status: int,
    text: str,
    acknowledged: bool,  # noqa: FBT001 (a case)
    failure: LegFailure,
) -> None:
    assert read_failure(sip_status, text, acknowledged=acknowledged) is failure
