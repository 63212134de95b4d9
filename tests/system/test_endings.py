"""The side that ended a call, and the reason, if PJSIP sends the BYE on its own."""

from __future__ import annotations

import pytest

from tests.harness.settings import key, token
from tests.harness.sip.raw_call import OFFER, RawCall

from .contact_call import ContactCall
from .site import NUMBERS, Contact, Site

SDP = b"v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
G729 = SDP + b"m=audio 40000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
DECLINED = SDP + b"m=audio 0 RTP/AVP 0\r\n"


@pytest.mark.parametrize("answer", [b"", DECLINED, G729], ids=["missing", "declined", "other codec"])
def test_a_late_answer_without_audio_ends_the_call_before_the_conversation(trunk: Site, answer: bytes) -> None:
    count = trunk.count()
    contact = Contact.new()
    with raw_call(trunk, "waiting", contact) as call:
        assert call.place(b"", answer).status == 200
        bye = call.answer_bye()
    assert b"\r\nReason: SIP" in bye
    record = trunk.bridge.project("acme", "waiting", key("waiting")).ended_call(contact.id)
    assert (record["ended_by"], record["result"], record["reason"]) == ("bridge", "upstream_error", "unusable_answer")
    assert (record["answered_at"], record["handoff"]) == (None, None)
    assert count.grows_by(1, "sipbridge_calls_total", result="upstream_error", reason="unusable_answer")
    assert trunk.cxone.signals(contact.id) == []


def test_a_cancel_after_the_200_has_no_effect(trunk: Site) -> None:
    with ContactCall(trunk, "lasting") as call:
        call.invite()
        assert call.wait_for_answer() == 200
        assert call.cancel() == 200
        call.acknowledge()
        assert call.request(b"OPTIONS").startswith(b"SIP/2.0 200 ")
        call.end()
    record = call.record()
    assert (record["ended_by"], record["result"], record["reason"]) == ("caller", "success", "caller_hung_up")
    assert record["answered_at"] is not None


def test_a_bye_between_the_200_and_its_ack_is_a_hang_up(trunk: Site) -> None:
    count = trunk.count()
    with ContactCall(trunk, "lasting") as call:
        call.invite()
        assert call.wait_for_answer() == 200
        call.end()
    record = call.record()
    assert (record["ended_by"], record["result"], record["reason"]) == ("caller", "success", "caller_hung_up")
    assert count.grows_by(1, "sipbridge_calls_total", result="success", reason="caller_hung_up")
    assert count.grows_by(1, "sipbridge_invites_total", code="200")


def test_a_request_right_behind_the_callers_bye_does_not_keep_the_call(trunk: Site) -> None:
    with ContactCall(trunk, "lasting") as call:
        assert call.place().status == 200
        assert call.request_at_once(b"BYE", b"OPTIONS") == {b"BYE": 200, b"OPTIONS": 481}
    record = call.record()
    assert (record["ended_by"], record["result"], record["reason"]) == ("caller", "success", "caller_hung_up")


def test_an_unknown_host_in_the_sdp_is_an_unusable_offer(trunk: Site) -> None:
    count = trunk.count()
    with ContactCall(trunk, "lasting") as call:
        assert call.place(OFFER.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 sbc.invalid")).status == 488
    record = call.record()
    assert (record["ended_by"], record["result"], record["reason"]) == ("bridge", "upstream_error", "unusable_answer")
    assert count.grows_by(1, "sipbridge_invites_total", code="488")


def raw_call(trunk: Site, project: str, contact: Contact) -> RawCall:
    headers = {
        "From": "<sip:caller@127.0.0.1>;tag=raw",
        "X-Auth-Token": token(project),
        "X-InContact-ContactId": contact.id,
        "X-InContact-MasterId": contact.main_id,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), lines.encode())
