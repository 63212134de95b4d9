"""Calls with a SIP agent: how it is reached, what it may do during the call, and how its BYE ends it."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from sipbridge.agents.presence import TRIAL_SECONDS
from tests.harness.settings import key
from tests.harness.waiting import wait_for

from .agent_site import AgentSite, requests
from .contact_call import ContactCall

UNRESPONSIVE_SECONDS = 3
# An agent that sends audio: some of it has arrived.
SPEECH_SECONDS = 0.3
# An agent that never sends audio: the call is answered all the same.
LISTENING_SECONDS = TRIAL_SECONDS + 0.2


# ------------------------------------------------------------ reaching the agent


def test_the_agent_receives_the_callers_details_and_the_caller_cannot_forge_them(sip: AgentSite) -> None:
    agent = sip.agent("agent_stays")
    call = sip.call("agent_caller_forged_headers").wait_for_scenario()
    (invite,) = requests(agent.check(), "INVITE")
    record = call.record()
    assert "<sip:+15550100@" in invite.header("From")
    said = {
        name: invite.header(f"X-Sipbridge-{name}") for name in ("Call-Id", "Client", "Project", "Caller", "Dialled")
    }
    assert said == {
        "Call-Id": record["id"],
        "Client": "acme",
        "Project": "bot",
        "Caller": "+15550100",
        "Dialled": "+19995550001",
    }
    assert invite.header("X-Sipbridge-Contact-Id") == call.contact.id
    assert invite.header("X-Sipbridge-Main-Contact-Id") == call.contact.main_id
    assert [invite.header(f"X-{name}") for name in ("Tenant", "Lang", "Mood")] == ["acme", "de", "calm"]
    for unwanted in ("+15550911", "X-Handoff-", "X-Auth-Token"):
        assert unwanted not in invite.text


def test_the_callers_bye_is_passed_to_the_agent(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_stays")
    call = sip.call("caller_hangs_up").wait_for_scenario()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="sip", result="success")
    assert count.grows_by(1, "sipbridge_calls_total", project="bot", result="success", reason="caller_hung_up")


def test_early_media_of_the_agent_reaches_the_caller(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_early_media", hold_seconds=0.3)
    call = sip.call("agent_caller_early_media").wait_for_scenario()
    agent.check()
    assert call.record()["ended_by"] == "caller"
    assert count.grows_by(1, "sipbridge_invites_total", code="200")


def test_an_agent_may_be_called_over_tcp(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_hangs_up", transport="tcp", hold_seconds=SPEECH_SECONDS, sends_audio=True)
    call = sip.call("release", "tcp").wait_for_scenario()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert "SIP/2.0/TCP" in requests(agent, "INVITE")[0].header("Via")
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="sip", result="success")


@pytest.mark.parametrize("first", ["agent_busy", "agent_rings"])
def test_the_next_uri_is_called_if_an_agent_is_not_reached(sip: AgentSite, first: str) -> None:
    assert_the_next_is_called(sip, first)


def test_the_next_uri_is_called_if_an_agent_stops_during_the_call_setup(own_sip: AgentSite) -> None:
    assert_the_next_is_called(own_sip, "agent_sends_only_100")


def assert_the_next_is_called(sip: AgentSite, first: str) -> None:
    count = sip.trunk.count()
    busy = sip.agent(first)
    agent = sip.agent("agent_hangs_up", second=True, hold_seconds=SPEECH_SECONDS, sends_audio=True)
    call = sip.call("release", "backup").wait_for_scenario()
    busy.check()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="sip", result="success")
    assert count.grows_by(0, "sipbridge_agent_connects_total", type="sip", result="upstream_error")


def test_an_agent_that_does_not_respond_is_given_up(sip: AgentSite) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", sip.ports[0]))
        agent = sip.agent("agent_hangs_up", second=True, hold_seconds=SPEECH_SECONDS, sends_audio=True)
        call = sip.call("release", "backup").wait_for_scenario()
        agent.check()
        # Sent at 0, 0.5 and 1.5 s (RFC 3261, 17.1.1.2), given up after 1 s; the next one would be due at 3.5 s.
        silent.settimeout(3)
        came = 0
        with suppress(TimeoutError):
            while True:  # requests that the agents of other tests left unanswered arrive too
                came += silent.recv(65_536).startswith(b"INVITE ")
    assert came == 3
    assert call.record()["reason"] == "agent_ended"


def test_a_caller_gets_480_if_no_agent_is_reached(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agents = sip.agent("agent_busy"), sip.agent("agent_busy", second=True)
    call = sip.call("agent_caller_480", "backup").wait_for_scenario()
    for agent in agents:
        agent.check()
    record = call.record()
    assert (record["result"], record["reason"]) == ("upstream_error", "agent_unavailable")
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_invites_total", code="480")
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="sip", result="upstream_error")


def test_a_caller_is_handed_off_if_no_agent_is_reached_and_the_project_requires_it(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agents = sip.agent("agent_busy"), sip.agent("agent_rings", second=True)
    call = sip.call("release", "kind").wait_for_scenario()
    for agent in agents:
        agent.check()
    assert call.handoff_state()["handoff_reason"] == "agent_unavailable"
    assert [signal["p3"] for signal in call.signals()] == ["agent_unavailable"]
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="sip", result="upstream_error")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="kind")


def test_a_caller_that_cancels_while_the_agent_rings_leaves_no_call_at_the_agent(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_rings")
    call = sip.call("agent_caller_cancels").wait_for_scenario()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"]) == ("caller", "cancelled")
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_invites_total", code="487")


def test_the_api_may_hang_up_a_call_whose_agent_rings(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_rings")
    project = sip.trunk.bridge.project("acme", "bot", key("bot"))
    with ContactCall(sip.trunk, "bot") as call:
        call.invite()
        wait_for(lambda: agent.received("INVITE"), "the INVITE to the agent")
        [ringing] = project.calls(call.contact.id)
        assert ringing["state"] == "ringing"
        assert project.request(f"calls/{ringing['id']}/hangup", "POST").status == 202
        assert call.wait_for_answer() == 480
        call.acknowledge()
        record = call.record()
    agent.check()
    assert (record["result"], record["reason"], record["ended_by"]) == ("success", "hung_up_by_api", "api")
    assert record["answered_at"] is None
    assert sip.trunk.cxone.signals(call.contact.id) == []
    assert count.grows_by(1, "sipbridge_invites_total", code="480")


# ------------------------------------------------------------ during the call


@pytest.mark.parametrize("scenario", ["agent_holds", "agent_holds_inactive"])
def test_an_agent_may_hold_and_resume_the_call(sip: AgentSite, scenario: str) -> None:
    count = sip.trunk.count()
    agent = sip.agent(scenario, hold_seconds=LISTENING_SECONDS)
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert count.grows_by(1, "sipbridge_calls_total", project="bot", reason="agent_ended")


@pytest.mark.parametrize("scenario", ["hold_resume", "update", "session_timer"])
def test_hold_info_and_session_refreshes_of_the_trunk_leave_the_agent_in_the_call(
    sip: AgentSite, scenario: str
) -> None:
    agent = sip.agent("agent_stays")
    call = sip.call(scenario).wait_for_scenario()
    agent.check()
    assert call.record()["reason"] == "caller_hung_up"


def test_dtmf_digits_from_the_caller_reach_the_agent(sip: AgentSite) -> None:
    agent = sip.agent("agent_receives_info_digit")
    call = sip.call("info").wait_for_scenario()
    agent.check()
    assert call.record()["ended_by"] == "caller"


def test_dtmf_digits_from_the_agent_reach_the_caller(sip: AgentSite) -> None:
    agent = sip.agent("agent_sends_info_digit", hold_seconds=0.2)
    call = sip.call("agent_caller_receives_info_digit").wait_for_scenario()
    agent.check()
    assert call.record()["ended_by"] == "caller"


def test_an_agent_that_sends_no_audio_is_lost(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_stays")
    call = sip.call("release", "quiet").wait_for_scenario()
    agent.check()
    assert call.handoff_state()["handoff_reason"] == "agent_lost"
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="quiet")


def test_an_agent_with_inactive_audio_is_not_lost(sip: AgentSite) -> None:
    agent = sip.agent("agent_holds_inactive", hold_seconds=LISTENING_SECONDS)
    call = sip.call("release", "quiet").wait_for_scenario()
    agent.check()
    assert call.record()["reason"] == "agent_ended"


# ------------------------------------------------------------ BYE


def test_a_plain_bye_ends_the_conversation(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_hangs_up", hold_seconds=SPEECH_SECONDS, sends_audio=True)
    call = sip.call("release").wait_for_scenario()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert call.signals() == [{"p1": "End"}]
    assert count.grows_by(1, "sipbridge_calls_total", project="bot", result="success", reason="agent_ended")


def test_an_agent_that_answers_and_hangs_up_at_once_was_not_reached_or_is_lost(sip: AgentSite) -> None:
    agent = sip.agent("agent_hangs_up")
    call = sip.call("release", "kind").wait_for_scenario()
    agent.check()
    assert call.record()["result"] != "success"
    # Whichever came first: its BYE, or the caller's ACK.
    [signal] = call.signals()
    assert signal["p1"] == "care"
    assert signal["p3"] in ("agent_unavailable", "agent_lost")


def test_an_agent_that_hangs_up_soon_without_audio_is_lost(sip: AgentSite) -> None:
    agent = sip.agent("agent_hangs_up", hold_seconds=TRIAL_SECONDS - 1)
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "agent_lost")]
    assert call.handoff_state()["handoff_reason"] == "agent_lost"


def test_an_agent_that_sends_no_audio_may_hang_up_after_a_while(sip: AgentSite) -> None:
    agent = sip.agent("agent_hangs_up", hold_seconds=LISTENING_SECONDS)
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert call.signals() == [{"p1": "End"}]


@pytest.mark.parametrize("direction", ["inactive", "recvonly"])
def test_an_agent_that_answers_recvonly_is_lost(sip: AgentSite, direction: str) -> None:
    agent = sip.agent("agent_answers_direction", hold_seconds=LISTENING_SECONDS, keys={"direction": direction})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "agent_lost")]
    assert call.record()["result"] != "success"


def test_a_bye_with_handoff_headers_hands_off(sip: AgentSite) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_bye_handoff", keys={"destination": "sales", "parameter": "P5", "fold": " "})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "asked for it", "p4": "7", "p5": "four"}]
    state = call.handoff_state()
    assert (state["handoff_destination"], state["order_id"]) == ("sales", "7")
    assert call.record()["handoff"]["requested_by"] == "agent"
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot", method="release")


@pytest.mark.parametrize(
    "keys", [{"destination": "sales", "parameter": "P10"}, {"destination": "none", "parameter": "P5"}]
)
def test_a_bye_with_an_impossible_handoff_hands_off_to_the_default_destination(
    sip: AgentSite, keys: dict[str, str]
) -> None:
    count = sip.trunk.count()
    agent = sip.agent("agent_bye_handoff", keys={"fold": " ", **keys})
    call = sip.call("release").wait_for_scenario()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "invalid_handoff")]
    assert call.handoff_state()["handoff_reason"] == "invalid_handoff"
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


# ------------------------------------------------------------ an agent that stops


def test_an_agent_that_does_not_respond_to_bye_delays_no_handoff(own_sip: AgentSite) -> None:
    agent = own_sip.agent("agent_stops_responding", hold_seconds=UNRESPONSIVE_SECONDS)
    call = own_sip.call("caller_hangs_up").wait_for_scenario()
    assert call.record()["reason"] == "caller_hung_up"
    own_sip.trunk.bridge.wait_until_idle(UNRESPONSIVE_SECONDS / 2)
    assert agent.program.is_running
    agent.check()
