from __future__ import annotations

from pathlib import Path

import pytest
from harness.raw_call import RawCall
from harness.settings import token
from harness.simulator import Simulator
from harness.waiting import wait_for

from sipbridge.sip.endpoint import SPARE_SLOTS
from sipbridge.sip.room import LEGS_A_CALL

from .site import NUMBERS, Contact, Site, site

MAX_CALLS = 30
SLOTS = LEGS_A_CALL * MAX_CALLS + SPARE_SLOTS


def test_refer_that_notify_confirms_is_a_success(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("refer_ok", "refer").went_as_written()
    record = call.record()
    assert len(call.signals()) == 1
    assert (record["result"], record["ended_by"]) == ("success", "bridge")
    assert record["handoff"]["transfer"] == "refer_accepted"
    assert (call.handoff_state()["handoff_state"], call.handoff_state()["confirmed"]) == ("handoff_completed", True)
    assert count.shows(1, "sipbridge_transfers_total", method="refer", result="success")
    assert count.shows(1, "sipbridge_handoffs_total", project="refer", method="refer", result="success")
    assert count.shows(0, "sipbridge_transfers_total", method="release")


@pytest.mark.parametrize(
    ("scenario", "story"),
    [
        ("refer_405", "refer_refused, released"),
        ("refer_603", "refer_refused, released"),
        ("refer_busy", "refer_failed, released"),
    ],
)
def test_refer_that_fails_falls_back_to_release(trunk: Site, scenario: str, story: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "refer").went_as_written()
    handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["state"], handoff["confirmed"]) == (story, "handoff_completed", False)
    assert len(call.signals()) == 1
    assert count.shows(1, "sipbridge_transfers_total", method="refer", result="upstream_error")
    assert count.shows(1, "sipbridge_transfers_total", method="release")
    assert count.shows(1, "sipbridge_handoffs_total", project="refer", method="refer", reason="unconfirmed")


@pytest.mark.parametrize(
    ("scenario", "story"),
    [("refer_no_notify", "refer_no_notify"), ("refer_bye_before_notify", "refer_peer_hung_up")],
)
def test_refer_of_which_nothing_more_is_heard_is_no_success(trunk: Site, scenario: str, story: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "refer").went_as_written(40)
    handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["state"], handoff["confirmed"]) == (story, "handoff_completed", False)
    assert count.shows(1, "sipbridge_transfers_total", method="refer", result="indeterminate")
    assert count.shows(1, "sipbridge_handoffs_total", project="refer", result="indeterminate")


def test_what_comes_of_a_refer_when_its_call_is_over_is_nothing_to_the_next_in_its_place(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone, sip={"max_calls": MAX_CALLS}) as trunk, a_call_to_be_referred(trunk) as gone:
        gone.place()
        gone.take_refer()
        gone.end()
        # PJSUA gives its slots out in turn.
        for calls in [MAX_CALLS] * (SLOTS // MAX_CALLS) + [SLOTS % MAX_CALLS - 1]:
            trunk.call("caller_hangs_up", "waiting", calls=calls).went_as_written()
            trunk.bridge.wait_for_metric(0, "sipbridge_calls_active")
        call = trunk.call("refer_no_notify", "refer")
        wait_for(lambda: call.sipp.received("REFER"), "the REFER")
        gone.notify(b"SIP/2.0 200 OK\r\n")
        call.went_as_written(40)
        handoff = call.record()["handoff"]
        assert (handoff["transfer"], handoff["confirmed"]) == ("refer_no_notify", False)


def a_call_to_be_referred(trunk: Site) -> RawCall:
    contact = Contact.new()
    headers = {
        "From": "<sip:caller@127.0.0.1>;tag=gone",
        "X-Auth-Token": token("refer"),
        "X-InContact-ContactId": contact.id,
        "X-InContact-MasterId": contact.main_id,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), lines.encode())
