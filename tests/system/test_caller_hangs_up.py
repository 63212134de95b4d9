from __future__ import annotations

from .site import Site


def test_a_caller_that_hangs_up_during_the_prompt_ends_the_call(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("caller_hangs_up", "greeting", hold_seconds=0.3).wait_for_scenario()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_calls_total", project="greeting", result="success", reason="caller_hung_up")
    assert count.grows_by(0, "sipbridge_handoffs_total")


def test_a_caller_that_hangs_up_during_the_signal_gets_one_signal(trunk: Site) -> None:
    count = trunk.count()
    trunk.cxone.fail("signal", latency_seconds=1.0)
    call = trunk.call("caller_hangs_up", hold_seconds=0.4).wait_for_scenario()
    record = call.record()
    assert record["ended_by"] == "caller"
    assert record["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release")
    assert count.grows_by(1, "sipbridge_signals_total", client="acme", result="success")


def test_a_caller_that_cancels_causes_no_needless_signal(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("caller_cancels", "greeting").wait_for_scenario()
    record = call.record()
    assert (record["ended_by"], record["handoff"]) == ("caller", None)
    assert call.signals() == []
    crossed = any(message.method == "INVITE" for message in call.sipp.received(200))
    assert count.grows_by(1, "sipbridge_invites_total", code="200" if crossed else "487")
    assert count.grows_by(1, "sipbridge_calls_total", project="greeting")
    assert record["reason"] == ("caller_hung_up" if crossed else "cancelled")


def test_callers_that_hang_up_right_after_the_ack_count_as_answered(trunk: Site) -> None:
    count = trunk.count()
    calls = trunk.call("caller_hangs_up", "greeting", calls=20).wait_for_scenario()
    assert count.grows_by(20, "sipbridge_calls_total", project="greeting")
    assert count.grows_by(20, "sipbridge_calls_total", project="greeting", result="success", reason="caller_hung_up")
    assert count.grows_by(20, "sipbridge_invites_total", code="200")
    records = calls.project.calls(calls.contact.id)
    assert [(record["ended_by"], record["answered_at"] is None) for record in records] == [("caller", False)] * 20
    assert calls.signals() == []
