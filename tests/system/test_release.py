from __future__ import annotations

from .site import Site


def test_release_signals_waits_and_hangs_up(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release").wait_for_scenario()
    record = call.record()
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "care"}]
    assert (record["state"], record["ended_by"], record["result"]) == ("ended", "bridge", "indeterminate")
    assert record["handoff"]["transfer"] == "released"
    handoff = call.handoff_state()
    assert (handoff["handoff_state"], handoff["confirmed"]) == ("handoff_completed", False)
    assert (handoff["contact_id"], handoff["main_contact_id"]) == (call.contact.id, call.contact.main_id)
    assert (handoff["caller_number"], handoff["callee_number"]) == ("+15550100", "+19995550001")
    assert count.grows_by(1, "sipbridge_invites_total", code="200")
    assert count.grows_by(1, "sipbridge_signals_total", client="acme", result="success")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release", method="release", reason="unconfirmed")
    assert count.grows_by(1, "sipbridge_calls_total", project="release", result="indeterminate")
    assert count.grows_by(1, "sipbridge_transfers_total", method="release")


def test_the_200_carries_the_id_of_the_record(trunk: Site) -> None:
    call = trunk.call("release").wait_for_scenario()
    (answer,) = (message for message in call.sipp.received(200) if message.method == "INVITE")
    assert call.record()["id"] == answer.header("X-Sipbridge-Call-Id")


def test_a_bye_from_cxone_after_the_signal_completes_the_handoff(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release_by_cxone").wait_for_scenario()
    record = call.record()
    assert len(call.signals()) == 1
    assert (record["ended_by"], record["result"]) == ("caller", "success")
    assert record["handoff"]["transfer"] == "released_by_peer"
    assert (call.handoff_state()["handoff_state"], call.handoff_state()["confirmed"]) == ("handoff_completed", True)
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release", result="success", reason="handed_off")


def test_a_client_may_receive_the_parameters_in_the_query(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "query").wait_for_scenario()
    assert call.record()["handoff"]["signal"] == "accepted"
    (signal,) = trunk.cxone.signals(call.contact.id)
    assert (signal["in"], signal["parameters"]["p1"]) == ("query", "care")
    assert count.grows_by(1, "sipbridge_signals_total", client="query", result="success")


def test_a_destination_without_a_signal_sends_none(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "unsignalled").wait_for_scenario()
    assert call.record()["handoff"]["signal"] == "none"
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_handoffs_total", project="unsignalled")
    assert count.grows_by(0, "sipbridge_signals_total")


def test_a_conversation_without_a_handoff_is_signalled_and_ended(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "ending").wait_for_scenario()
    record = call.record()
    assert call.signals() == [{"p1": "End"}]
    assert (record["ended_by"], record["result"], record["handoff"]) == ("agent", "success", None)
    assert call.project.handoff_state(call.contact.id).status == 404
    assert count.grows_by(1, "sipbridge_calls_total", project="ending", result="success")
    assert count.grows_by(0, "sipbridge_handoffs_total")


def test_a_conversation_that_lasts_too_long_is_handed_off(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "short").wait_for_scenario()
    assert call.record()["handoff"]["requested_by"] == "bridge"
    assert call.handoff_state()["handoff_reason"] == "max_call_seconds"
    assert [signal["p3"] for signal in call.signals()] == ["max_call_seconds"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="short")
