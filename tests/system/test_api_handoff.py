from __future__ import annotations

from .site import Site


def test_a_handoff_by_the_api_finishes_the_prompt_first(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "greeting")
    call_id = call.wait_until_answered()
    asked = call.project.request(
        f"calls/{call_id}/handoff", "POST", {"reason": "asked_for_human", "data": {"order": "A-7"}}
    )
    assert (asked.status, asked.json()) == (202, {"id": call_id, "state": "handoff_initiated"})
    assert call.project.request(f"calls/{call_id}/handoff", "POST", {}).status == 409
    assert call.signals() == []  # the prompt still plays
    call.wait_for_scenario()
    handoff = call.handoff_state()
    assert (handoff["handoff_reason"], handoff["order"]) == ("asked_for_human", "A-7")
    assert [signal["p3"] for signal in call.signals()] == ["asked_for_human"]
    assert call.record()["handoff"]["requested_by"] == "api"
    assert count.grows_by(1, "sipbridge_handoffs_total", project="greeting")


def test_an_impossible_handoff_is_refused_and_the_call_goes_on(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("caller_hangs_up", "waiting", hold_seconds=1)
    refused = call.project.request(f"calls/{call.wait_until_answered()}/handoff", "POST", {"destination": "nowhere"})
    assert refused.status == 422
    assert call.wait_for_scenario().record()["handoff"] is None
    assert count.grows_by(0, "sipbridge_handoffs_total")


def test_a_hangup_by_the_api_signals_the_end_of_the_conversation(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "greeting")
    assert call.project.request(f"calls/{call.wait_until_answered()}/hangup", "POST").status == 202
    record = call.wait_for_scenario().record()
    assert (record["ended_by"], record["handoff"]) == ("api", None)
    assert call.signals() == [{"p1": "End"}]
    assert count.grows_by(1, "sipbridge_calls_total", project="greeting", result="success")


def test_another_projects_key_gives_no_access(trunk: Site) -> None:
    call = trunk.call("caller_hangs_up", "waiting", hold_seconds=1)
    call_id = call.wait_until_answered()
    stranger = trunk.bridge.project("acme", "waiting", "key-of-release")
    assert stranger.request(f"calls/{call_id}/handoff", "POST", {}).status == 403
    assert call.wait_for_scenario().record()["handoff"] is None
