from __future__ import annotations

import pytest

from tests.harness.media.rtp import media_address, send_digits
from tests.harness.waiting import wait_for

from .site import PlacedCall, Site


@pytest.mark.parametrize("scenario", ["hold_resume", "update", "info", "session_timer"])
def test_hold_info_and_session_refreshes_leave_the_call_up(trunk: Site, scenario: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario, "waiting").wait_for_scenario()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_calls_total", project="waiting", reason="caller_hung_up")
    assert count.grows_by(1, "sipbridge_invites_total", code="200")  # a re-INVITE is not a new call


@pytest.mark.parametrize("scenario", ["no_offer", "reliable_supported", "reliable_required"])
def test_every_form_of_call_setup_ends_in_a_handoff(trunk: Site, scenario: str) -> None:
    count = trunk.count()
    call = trunk.call(scenario).wait_for_scenario()
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release")


def test_a_call_over_tcp_is_handed_off(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", transport="tcp").wait_for_scenario()
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release")


def test_a_re_invite_after_the_bye_is_rejected(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("reinvite_after_bye", "waiting").wait_for_scenario()
    assert call.record()["reason"] == "caller_hung_up"
    assert count.grows_by(1, "sipbridge_invites_total", code="200")


def test_options_gets_a_response_and_does_not_count_as_a_call(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("options").wait_for_scenario()
    assert call.has_no_record()
    assert count.grows_by(0, "sipbridge_invites_total")


def test_dtmf_digits_from_the_caller_do_not_disturb_a_prompt(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("caller_hangs_up", "waiting", hold_seconds=1.5)
    call.wait_until_answered()
    send_digits("12#", media_address(_answer_of(call)))
    record = call.wait_for_scenario().record()
    assert (record["ended_by"], record["reason"]) == ("caller", "caller_hung_up")
    assert count.grows_by(1, "sipbridge_calls_total", project="waiting", result="success")


def _answer_of(call: PlacedCall) -> str:
    """Return the SDP of the 200, once SIPp has logged it."""

    def answer() -> str | None:
        return next((message.body for message in call.sipp.received(200) if message.method == "INVITE"), None)

    return wait_for(answer, "the 200 in SIPp's log")
