from __future__ import annotations

from .site import Site


def test_invite_joins_the_caller_with_the_desk(trunk: Site) -> None:
    count = trunk.count()
    with trunk.desk("desk_answers", hold_seconds=0.5) as desk:
        call = trunk.call("release", "desk").wait_for_scenario()
        desk.check()
    record = call.record()
    assert len(call.signals()) == 1
    assert (record["result"], record["handoff"]["transfer"]) == ("success", "invite_answered")
    assert (call.handoff_state()["handoff_state"], call.handoff_state()["confirmed"]) == ("handoff_completed", True)
    assert count.grows_by(1, "sipbridge_transfers_total", method="invite", result="success")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="desk", method="invite", result="success")


def test_a_caller_that_hangs_up_frees_the_desk(trunk: Site) -> None:
    count = trunk.count()
    with trunk.desk("desk_answers_and_stays") as desk:
        call = trunk.call("caller_hangs_up", "desk", hold_seconds=0.7).wait_for_scenario()
        desk.check()
    record = call.record()
    assert (record["ended_by"], record["handoff"]["transfer"]) == ("caller", "invite_answered")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="desk", result="success")


def test_with_a_busy_desk_the_caller_goes_back_to_the_script(trunk: Site) -> None:
    count = trunk.count()
    with trunk.desk("desk_busy") as desk:
        call = trunk.call("release", "desk").wait_for_scenario()
        desk.check()
    handoff = call.record()["handoff"]
    assert (handoff["transfer"], handoff["confirmed"]) == ("invite_refused, released", False)
    assert count.grows_by(1, "sipbridge_transfers_total", method="invite", result="upstream_error")
    assert count.grows_by(1, "sipbridge_transfers_total", method="release")


def test_a_desk_that_does_not_answer_in_time_is_given_up(trunk: Site) -> None:
    count = trunk.count()
    with trunk.desk("desk_rings") as desk:
        call = trunk.call("release", "desk").wait_for_scenario()
        desk.check()
    assert call.record()["handoff"]["transfer"] == "invite_no_answer, released"
    assert count.grows_by(1, "sipbridge_transfers_total", method="invite", result="upstream_error")


def test_a_caller_that_hangs_up_while_the_desk_rings_ends_the_ringing(trunk: Site) -> None:
    count = trunk.count()
    with trunk.desk("desk_rings") as desk:
        call = trunk.call("caller_hangs_up", "desk", hold_seconds=0.3).wait_for_scenario()
        desk.check()
    record = call.record()
    assert (record["ended_by"], record["handoff"]["state"]) == ("caller", "handoff_failed")
    assert record["handoff"]["transfer"] == "caller_hung_up"
    assert count.grows_by(1, "sipbridge_handoffs_total", project="desk", method="invite", reason="caller_hung_up")
