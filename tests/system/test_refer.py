from __future__ import annotations

from pathlib import Path

import pytest

from sipbridge.sip.endpoint import SPARE_SLOTS
from sipbridge.sip.resources import LEGS_PER_CALL
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .contact_call import ContactCall
from .site import Site, site

MAX_CALLS = 30
SLOTS = LEGS_PER_CALL * MAX_CALLS + SPARE_SLOTS


def test_a_refer_that_notify_confirms_is_a_success(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("refer_ok", "refer").wait_for_scenario()
    record = call.record()
    assert len(call.signals()) == 1
    assert (record["result"], record["ended_by"]) == ("success", "bridge")
    assert record["handoff"]["transfer"] == "refer_accepted"
    assert (call.handoff_state()["handoff_state"], call.handoff_state()["confirmed"]) == ("handoff_completed", True)
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="success")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="refer", method="refer", result="success")
    assert count.grows_by(0, "sipbridge_transfers_total", method="release")


@pytest.mark.parametrize(
    ("scenario", "story"),
    [
        ("refer_405", "refer_refused, released"),
        ("refer_603", "refer_refused, released"),
        ("refer_busy", "refer_failed, released"),
    ],
)
def test_a_refer_that_fails_falls_back_to_release(trunk: Site, scenario: str, story: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "refer").wait_for_scenario()
    handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["state"], handoff["confirmed"]) == (story, "handoff_completed", False)
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="upstream_error")
    assert count.grows_by(1, "sipbridge_transfers_total", method="release")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="refer", method="refer", reason="unconfirmed")


@pytest.mark.parametrize(
    ("scenario", "story"),
    [("refer_no_notify", "refer_no_notify"), ("refer_bye_before_notify", "refer_peer_hung_up")],
)
def test_a_refer_without_a_final_notify_does_not_count_as_a_success(trunk: Site, scenario: str, story: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "refer").wait_for_scenario(40)
    handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["state"], handoff["confirmed"]) == (story, "handoff_completed", False)
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="indeterminate")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="refer", result="indeterminate")


def test_a_caller_who_hangs_up_before_the_refer_fails_the_handoff(trunk: Site) -> None:
    count = trunk.count()
    with ContactCall(trunk, "refer") as call:
        trunk.cxone.fail("signal", contact_id=call.contact.id, status=429, retry_after=60, latency_seconds=1)
        call.place()
        wait_for(lambda: not trunk.cxone.faults(), "the Signal to be on its way")
        call.end()
        handoff = call.record()["handoff"]
        assert not any(message.startswith(b"REFER ") for message in call.received)
    assert (handoff["transfer"], handoff["state"], handoff["signal"]) == (
        "caller_hung_up",
        "handoff_failed",
        "undelivered",
    )
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="client_error")
    assert count.grows_by(0, "sipbridge_transfers_total", method="release")


def test_the_outcome_of_a_refer_whose_call_is_over_does_not_affect_the_next_call_in_its_slot(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone, sip={"max_calls": MAX_CALLS}) as trunk, ContactCall(trunk, "refer") as gone:
        gone.place()
        gone.accept_refer()
        gone.end()
        # PJSUA gives its slots out in turn.
        for calls in [MAX_CALLS] * (SLOTS // MAX_CALLS) + [SLOTS % MAX_CALLS - 1]:
            trunk.call("caller_hangs_up", "waiting", calls=calls).wait_for_scenario()
            trunk.bridge.wait_until_idle()
        with ContactCall(trunk, "refer") as call:
            call.place()
            call.accept_refer()
            gone.notify(b"SIP/2.0 200 OK\r\n")
            call.notify(b"SIP/2.0 100 Trying\r\n")
            call.answer_bye()
            assert_outcome_unknown(trunk, call, "refer_no_notify")


SUBSCRIPTION_ENDS: dict[str, tuple[bytes, bytes, bytes]] = {
    "a provisional status": (
        b"SIP/2.0 100 Trying\r\n",
        b"message/sipfrag;version=2.0",
        b"terminated;reason=noresource",
    ),
    "another provisional status": (b"SIP/2.0 180 Ringing\r\n", b"message/sipfrag", b"terminated"),
    "no body": (b"", b"", b"terminated;reason=timeout"),
    "a body of another type": (b"SIP/2.0 200 OK\r\n", b"text/plain", b"terminated;reason=giveup"),
    "an empty status": (b"\r\n", b"message/sipfrag", b"terminated;reason=rejected"),
    "a malformed status": (b"SIP/2.0 2000 OK\r\n", b"message/sipfrag", b"terminated;reason=noresource"),
    "a time to retry after": (b"", b"", b"Terminated ;reason=probation;retry-after=5"),
    "expiry": (b"SIP/2.0 100 Trying\r\n", b"message/sipfrag", b"active;expires=0"),
}


@pytest.mark.parametrize("end", SUBSCRIPTION_ENDS)
def test_a_subscription_that_ends_without_a_final_status_ends_the_waiting_without_a_success(
    trunk: Site, end: str
) -> None:
    count = trunk.count()
    with ContactCall(trunk, "refer") as call:
        call.place()
        call.accept_refer()
        assert call.notify(*SUBSCRIPTION_ENDS[end]).startswith(b"SIP/2.0 200 ")
        call.answer_bye()
        assert_outcome_unknown(trunk, call, "refer_no_notify")
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="indeterminate")
    assert count.grows_by(0, "sipbridge_transfers_total", method="release")


@pytest.mark.parametrize(
    "headers", [b"Refer-Sub: false\r\n", b"Expires: 0\r\n"], ids=["no subscription", "expired subscription"]
)
def test_a_refer_whose_202_announces_no_notify_is_not_waited_for(trunk: Site, headers: bytes) -> None:
    with ContactCall(trunk, "refer") as call:
        call.place()
        call.accept_refer(headers=headers)
        call.answer_bye()
        assert_outcome_unknown(trunk, call, "refer_no_notify")


@pytest.mark.parametrize(
    ("status", "state", "event"),
    [
        (b"SIP/2.0 200 OK", b"terminated;reason=noresource", b"refer"),
        (b"sip/2.0 202 Accepted\r\nServer: x\r\n", b"terminated", b"refer;id=%d"),
        (b"SIP/2.0 200 OK\r\n", b"active;expires=60", b"refer"),  # there is only one final status
        (b"SIP/2.0 204 No Notification\r\n", b"pending", b"refer;id=%d"),
    ],
)
@pytest.mark.parametrize("first", ["the response", "the NOTIFY"])
def test_a_final_2xx_is_a_success_in_any_form(
    trunk: Site, status: bytes, state: bytes, event: bytes, first: str
) -> None:
    with ContactCall(trunk, "refer") as call:
        call.place()
        refer = call.next_request(b"REFER")
        number = int(refer.split(b"CSeq: ")[1].split()[0])
        event = event % number if b"%" in event else event
        if first == "the response":
            call.respond(refer, b"202 Accepted")
        call.notify(b"SIP/2.0 100 Trying\r\n", state=b"active;expires=60", event=event)
        call.notify(status, state=state, event=event)
        if first == "the NOTIFY":
            # They may overtake each other (RFC 6665, 4.4.1).
            call.respond(refer, b"202 Accepted")
        call.answer_bye()
        handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["confirmed"]) == ("refer_accepted", True)


@pytest.mark.parametrize("status", [b"302 Moved Temporarily", b"401 Unauthorized", b"503 Service Unavailable"])
def test_a_rejected_refer_falls_back_to_release(trunk: Site, status: bytes) -> None:
    challenge = b'WWW-Authenticate: Digest realm="r", nonce="n"\r\n' if status.startswith(b"401") else b""
    with ContactCall(trunk, "refer") as call:
        call.place()
        call.accept_refer(status, challenge)
        call.answer_bye()
        assert call.record()["handoff"]["transfer"] == "refer_refused, released"


def test_a_refer_that_timed_out_downstream_may_have_arrived(trunk: Site) -> None:
    with ContactCall(trunk, "refer") as call:
        call.place()
        call.accept_refer(b"408 Request Timeout")
        call.answer_bye()
        assert_outcome_unknown(trunk, call, "refer_no_notify")


def assert_outcome_unknown(trunk: Site, call: ContactCall, transfer: str) -> None:
    record = call.record()
    handoff = record["handoff"]
    assert (handoff["transfer"], handoff["confirmed"], record["result"]) == (transfer, False, "indeterminate")
    assert len(trunk.cxone.signals(call.contact.id)) == 1
