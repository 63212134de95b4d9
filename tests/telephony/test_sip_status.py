from __future__ import annotations

from sipbridge.telephony.sip_status import SipStatus, is_redirection


def test_a_status_is_its_number_in_texts_and_arithmetic() -> None:
    assert int(SipStatus.SERVICE_UNAVAILABLE) == 503
    assert f"SIP {SipStatus.SERVICE_UNAVAILABLE}" == "SIP 503"
    assert SipStatus.TEMPORARILY_UNAVAILABLE.phrase == "Temporarily Unavailable"


def test_a_redirection_is_any_3xx() -> None:
    assert [status for status in (299, 300, 399, 400) if is_redirection(status)] == [300, 399]
