from __future__ import annotations

import pytest

from tests.harness.media.rtp import media_address, press_keys
from tests.harness.waiting import wait_for

from .site import PlacedCall, Site


@pytest.mark.parametrize("scenario", ["hold_resume", "update", "info", "session_timer"])
def test_what_a_trunk_does_in_a_call_leaves_the_call_up(trunk: Site, scenario: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "waiting").went_as_written()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
    assert call.signals() == []
    assert count.shows(1, "sipbridge_calls_total", project="waiting", reason="caller_hung_up")
    assert count.shows(1, "sipbridge_invites_total", code="200")  # a re-INVITE is no new call


@pytest.mark.parametrize("scenario", ["no_offer", "reliable_supported", "reliable_required"])
def test_every_way_to_set_up_a_call_ends_in_a_handoff(trunk: Site, scenario: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario).went_as_written()
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert len(call.signals()) == 1
    assert count.shows(1, "sipbridge_handoffs_total", project="release")


def test_a_call_over_tcp_is_handed_off(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", transport="tcp").went_as_written()
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert len(call.signals()) == 1
    assert count.shows(1, "sipbridge_handoffs_total", project="release")


def test_a_re_invite_after_the_bye_is_refused(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("reinvite_after_bye", "waiting").went_as_written()
    assert call.record()["reason"] == "caller_hung_up"
    assert count.shows(1, "sipbridge_invites_total", code="200")


def test_options_is_answered_and_no_call(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("options").went_as_written()
    assert call.left_no_record()
    assert count.shows(0, "sipbridge_invites_total")


def test_keys_that_the_caller_presses_harm_nothing(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("caller_hangs_up", "waiting", hold_seconds=1.5)
    call.answered()
    press_keys("12#", media_address(_answer_of(call)))
    record = call.went_as_written().record()
    assert (record["ended_by"], record["reason"]) == ("caller", "caller_hung_up")
    assert count.shows(1, "sipbridge_calls_total", project="waiting", result="success")


def _answer_of(call: PlacedCall) -> str:
    """Return the SDP of the 200, once SIPp has written it down."""

    def answer() -> str | None:
        return next((message.body for message in call.sipp.received(200) if message.method == "INVITE"), None)

    return wait_for(answer, "the 200 in SIPp's log")
