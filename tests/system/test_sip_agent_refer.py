"""REFER from a SIP agent: which handoff it starts, and what the agent's NOTIFY reports."""

from __future__ import annotations

import pytest

from tests.harness.waiting import wait_for

from .agent_site import AgentSite, outcomes, requests

SALES = "<sip:sales@127.0.0.1?X-Handoff-Reason=asked%20for%20it&X-Handoff-Data-Order-Id=7>"


@pytest.mark.parametrize("caller", ["release", "agent_caller_late_ack"])
def test_a_refer_hands_off_and_its_notify_reports_the_outcome(sip: AgentSite, caller: str) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call(caller).wait_for_scenario()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "asked for it", "p4": "7"}]
    assert call.record()["handoff"]["requested_by"] == "agent"
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot", method="release")


def test_a_handoff_that_cxone_confirms_is_reported_to_the_agent_as_a_success(sip: AgentSite) -> None:
    agent = sip.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call("caller_hangs_up", "patient", hold_seconds=2).wait_for_scenario()
    agent.check()
    assert len(call.signals()) == 1
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert call.handoff_state()["confirmed"] is True


def test_a_caller_that_hangs_up_before_the_handoff_is_reported_to_the_agent(sip: AgentSite) -> None:
    agent = sip.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call("caller_hangs_up", hold_seconds=0.35).wait_for_scenario()
    agent.check()
    assert call.signals() == []
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 487 Request Terminated"]
    assert call.record()["handoff"]["transfer"] == "caller_hung_up"


def test_a_caller_who_is_taken_back_is_reported_to_the_agent_whose_dialog_goes_on(sip: AgentSite) -> None:
    agent = sip.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call("release", "returning")
    call_id = call.wait_until_answered()
    wait_for(lambda: len(outcomes(agent)) == 2, "the final NOTIFY")
    (live,) = call.project.calls(call.contact.id)
    assert (live["state"], live["handoff"]["taken_back"]) == ("talking", True)
    assert requests(agent, "BYE") == []
    call.project.request(f"calls/{call_id}/hangup", "POST")
    call.wait_for_scenario()
    agent.check()
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 480 Temporarily Unavailable"]
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert call.record()["reason"] == "hung_up_by_api"


def test_headers_beside_a_refer_take_precedence(sip: AgentSite) -> None:
    agent = sip.agent("agent_refers_with_headers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "beside", "p4": "four"}]
    assert call.handoff_state()["order"] == 7


def test_a_refer_to_an_allowed_route_transfers_the_caller_there(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent(
        "agent_refers", hold_seconds=0.1, keys={"refer_to": "<sip:+15550199@127.0.0.1:5080?X-Queue=sales>"}
    )
    call = sip.call("refer_ok").wait_for_scenario()
    agent.check()
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert call.record()["handoff"]["transfer"] == "refer_accepted"
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="success")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot", method="refer", result="success")


def test_an_agent_that_hangs_up_after_its_refer_still_receives_the_outcome(sip: AgentSite) -> None:
    agent = sip.agent("agent_refers_and_hangs_up", hold_seconds=0.1, keys={"refer_to": SALES})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert call.record()["handoff"]["destination"] == "sales"


@pytest.mark.parametrize(
    "refer_to", ["<sip:+15550199@evil.example.net>", "<tel:+15550199>", "<sip:x@127.0.0.1:5080.evil.example.net>"]
)
def test_a_refer_to_a_target_that_is_not_allowed_gets_403_and_loses_no_caller(sip: AgentSite, refer_to: str) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_refer_not_allowed", hold_seconds=0.3, keys={"refer_to": refer_to})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.record()["handoff"]["requested_by"] == "bridge"
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    assert outcomes(agent) == []
    [refusal] = [message for message in agent.received(403) if "REFER" in message.header("CSeq")]
    assert refusal.header("Warning").startswith("399 ")
    assert count.grows_by(1, "sipbridge_agent_faults_total", type="sip", fault="refer_refused")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


def test_a_refer_before_the_call_is_answered_to_a_target_that_is_not_allowed_gets_403(sip: AgentSite) -> None:
    keys = {"refer_to": "<sip:+15550199@evil.example.net>"}
    agent = sip.agent("agent_refer_not_allowed", hold_seconds=0, keys=keys)
    call = sip.call("agent_caller_late_ack").wait_for_scenario()
    agent.check()
    assert [signal["p3"] for signal in call.signals()] == ["invalid_handoff"]
    assert outcomes(agent) == []


@pytest.mark.parametrize(
    "refer_to",
    [
        "<sip:sales@127.0.0.1?X-Handoff-P10=1>",
        "<sip:%ff%fe@127.0.0.1>",
        "<sip:sales@127.0.0.1?X-Handoff-Reason=a%0d%0aEvil%3A%201>",
        "<sip:sales@127.0.0.1?X-Handoff-Data=nonsense>",
        "<sip:sales@127.0.0.1?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3>",
    ],
)
def test_a_malformed_refer_gets_400_and_loses_no_caller(sip: AgentSite, refer_to: str) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_refer_malformed", hold_seconds=0.3, keys={"refer_to": refer_to})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    assert count.grows_by(1, "sipbridge_agent_faults_total", type="sip", fault="bad_refer")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


@pytest.mark.parametrize("extension", ["replaces", "tdialog", "multiple-refer"])
def test_a_refer_that_requires_an_unsupported_extension_gets_420_and_loses_no_caller(
    sip: AgentSite, extension: str
) -> None:
    count = sip.trunk.count()
    agent = sip.agent(
        "agent_refer_unsupported_extension", hold_seconds=0.3, keys={"refer_to": SALES, "extension": extension}
    )
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    [rejection] = [message for message in agent.received(420) if "REFER" in message.header("CSeq")]
    assert rejection.header("Unsupported") == extension
    assert rejection.header("Warning").startswith('399 sipbridge "Require ')
    assert count.grows_by(1, "sipbridge_agent_faults_total", type="sip", fault="bad_refer")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


def test_a_second_refer_gets_491_and_the_first_one_goes_on(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_refers_twice", hold_seconds=0.3, keys={"refer_to": SALES})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


def test_an_agent_that_does_not_respond_to_notify_does_not_stop_the_handoff(own_sip: AgentSite) -> None:
    agent = own_sip.agent("agent_refers_and_stops_responding", keys={"refer_to": SALES})
    call = own_sip.call("release").wait_for_scenario()
    assert call.record()["handoff"]["state"] == "handoff_completed"
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert "SIP/2.0 100 Trying" in outcomes(agent)
