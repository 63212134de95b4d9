from __future__ import annotations

import pytest

from .site import Site


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
