from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sipbridge.agents.presence import TRIAL_SECONDS
from tests.harness.programs.simulator import Simulator

from .agent_site import AgentSite, agent_site, outcomes, requests

DEAD_SECONDS = 3
SALES = "<sip:sales@127.0.0.1?X-Handoff-Reason=asked%20for%20it&X-Handoff-Data-Order-Id=7>"
# An agent that sends audio: some of it has arrived.
SPEAKS_SECONDS = 0.3
# An agent that never sends audio: the call is answered all the same.
LISTENS_SECONDS = TRIAL_SECONDS + 0.2


@pytest.fixture(scope="module")
def shared_agents(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AgentSite]:
    with agent_site(tmp_path_factory.mktemp("agents"), cxone) as running:
        yield running


@pytest.fixture
def site(shared_agents: AgentSite) -> Iterator[AgentSite]:
    """The bridge that these tests share; no test may leave a call in progress."""
    yield shared_agents
    shared_agents.trunk.end_calls()
    shared_agents.trunk.bridge.wait_for_metric(0, "sipbridge_calls_active")


@pytest.fixture
def own_site(tmp_path: Path, cxone: Simulator) -> Iterator[AgentSite]:
    """A bridge for one test: requests that an agent left unanswered would reach the next agent on its port."""
    with agent_site(tmp_path, cxone) as running:
        yield running


# ------------------------------------------------------------ reaching the agent


def test_the_agent_receives_the_callers_details_and_the_caller_cannot_forge_them(site: AgentSite) -> None:
    agent = site.agent("agent_stays")
    call = site.call("agent_caller_impostor").went_as_written()
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


def test_the_callers_bye_is_passed_to_the_agent(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_stays")
    call = site.call("caller_hangs_up").went_as_written()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
    assert call.signals() == []
    assert count.shows(1, "sipbridge_agent_connects_total", type="sip", result="success")
    assert count.shows(1, "sipbridge_calls_total", project="bot", result="success", reason="caller_hung_up")


def test_early_media_of_the_agent_reaches_the_caller(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_early_media", hold_seconds=0.3)
    call = site.call("agent_caller_early").went_as_written()
    agent.check()
    assert call.record()["ended_by"] == "caller"
    assert count.shows(1, "sipbridge_invites_total", code="200")


def test_an_agent_may_be_called_over_tcp(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_hangs_up", transport="tcp", hold_seconds=SPEAKS_SECONDS, speaks=True)
    call = site.call("release", "tcp").went_as_written()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert "SIP/2.0/TCP" in requests(agent, "INVITE")[0].header("Via")
    assert count.shows(1, "sipbridge_agent_connects_total", type="sip", result="success")


@pytest.mark.parametrize("first", ["agent_busy", "agent_rings"])
def test_the_next_uri_is_called_if_an_agent_is_not_reached(site: AgentSite, first: str) -> None:
    assert_the_next_is_called(site, first)


def test_the_next_uri_is_called_if_an_agent_stops_during_the_call_setup(own_site: AgentSite) -> None:
    assert_the_next_is_called(own_site, "agent_tries")


def assert_the_next_is_called(site: AgentSite, first: str) -> None:
    count = site.trunk.count()
    busy = site.agent(first)
    agent = site.agent("agent_hangs_up", second=True, hold_seconds=SPEAKS_SECONDS, speaks=True)
    call = site.call("release", "backup").went_as_written()
    busy.check()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert count.shows(1, "sipbridge_agent_connects_total", type="sip", result="success")
    assert count.shows(0, "sipbridge_agent_connects_total", type="sip", result="upstream_error")


def test_an_agent_that_does_not_respond_is_given_up(site: AgentSite) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", site.ports[0]))
        agent = site.agent("agent_hangs_up", second=True, hold_seconds=SPEAKS_SECONDS, speaks=True)
        call = site.call("release", "backup").went_as_written()
        agent.check()
        # Sent at 0, 0.5 and 1.5 s (RFC 3261, 17.1.1.2), given up after 1 s; the next one would be due at 3.5 s.
        silent.settimeout(3)
        came = 0
        with suppress(TimeoutError):
            while True:  # requests that the agents of other tests left unanswered arrive too
                came += silent.recv(65_536).startswith(b"INVITE ")
    assert came == 3
    assert call.record()["reason"] == "agent_ended"


def test_a_caller_gets_480_if_no_agent_is_reached(site: AgentSite) -> None:
    count = site.trunk.count()
    agents = site.agent("agent_busy"), site.agent("agent_busy", second=True)
    call = site.call("agent_caller_unserved", "backup").went_as_written()
    for agent in agents:
        agent.check()
    record = call.record()
    assert (record["result"], record["reason"]) == ("upstream_error", "agent_unavailable")
    assert call.signals() == []
    assert count.shows(1, "sipbridge_invites_total", code="480")
    assert count.shows(1, "sipbridge_agent_connects_total", type="sip", result="upstream_error")


def test_a_caller_is_handed_off_if_no_agent_is_reached_and_the_project_says_so(site: AgentSite) -> None:
    count = site.trunk.count()
    agents = site.agent("agent_busy"), site.agent("agent_rings", second=True)
    call = site.call("release", "kind").went_as_written()
    for agent in agents:
        agent.check()
    assert call.handoff_state()["handoff_reason"] == "agent_unavailable"
    assert [signal["p3"] for signal in call.signals()] == ["agent_unavailable"]
    assert count.shows(1, "sipbridge_agent_connects_total", type="sip", result="upstream_error")
    assert count.shows(1, "sipbridge_handoffs_total", project="kind")


def test_a_caller_that_cancels_while_the_agent_rings_leaves_no_call_at_the_agent(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_rings")
    call = site.call("agent_caller_gives_up").went_as_written()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"]) == ("caller", "cancelled")
    assert call.signals() == []
    assert count.shows(1, "sipbridge_invites_total", code="487")


# ------------------------------------------------------------ during the call


@pytest.mark.parametrize("scenario", ["agent_holds", "agent_goes_inactive"])
def test_an_agent_may_hold_and_resume_the_call(site: AgentSite, scenario: str) -> None:
    count = site.trunk.count()
    agent = site.agent(scenario, hold_seconds=LISTENS_SECONDS)
    call = site.call("release").went_as_written()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert count.shows(1, "sipbridge_calls_total", project="bot", reason="agent_ended")


@pytest.mark.parametrize("scenario", ["hold_resume", "update", "session_timer"])
def test_hold_info_and_session_refreshes_of_the_trunk_leave_the_agent_in_the_call(
    site: AgentSite, scenario: str
) -> None:
    agent = site.agent("agent_stays")
    call = site.call(scenario).went_as_written()
    agent.check()
    assert call.record()["reason"] == "caller_hung_up"


def test_dtmf_digits_from_the_caller_reach_the_agent(site: AgentSite) -> None:
    agent = site.agent("agent_hears_keys")
    call = site.call("info").went_as_written()
    agent.check()
    assert call.record()["ended_by"] == "caller"


def test_dtmf_digits_from_the_agent_reach_the_caller(site: AgentSite) -> None:
    agent = site.agent("agent_presses_keys", hold_seconds=0.2)
    call = site.call("agent_caller_key").went_as_written()
    agent.check()
    assert call.record()["ended_by"] == "caller"


def test_an_agent_that_sends_no_audio_is_lost(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_stays")
    call = site.call("release", "quiet").went_as_written()
    agent.check()
    assert call.handoff_state()["handoff_reason"] == "agent_lost"
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]
    assert count.shows(1, "sipbridge_handoffs_total", project="quiet")


def test_an_agent_with_inactive_audio_is_not_lost(site: AgentSite) -> None:
    agent = site.agent("agent_goes_inactive", hold_seconds=LISTENS_SECONDS)
    call = site.call("release", "quiet").went_as_written()
    agent.check()
    assert call.record()["reason"] == "agent_ended"


# ------------------------------------------------------------ BYE


def test_a_plain_bye_ends_the_conversation(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_hangs_up", hold_seconds=SPEAKS_SECONDS, speaks=True)
    call = site.call("release").went_as_written()
    agent.check()
    record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert call.signals() == [{"p1": "End"}]
    assert count.shows(1, "sipbridge_calls_total", project="bot", result="success", reason="agent_ended")


def test_an_agent_that_answers_and_hangs_up_at_once_was_not_reached_or_is_lost(site: AgentSite) -> None:
    agent = site.agent("agent_hangs_up")
    call = site.call("release", "kind").went_as_written()
    agent.check()
    assert call.record()["result"] != "success"
    # Whichever came first: its BYE, or the caller's ACK.
    [signal] = call.signals()
    assert signal["p1"] == "care"
    assert signal["p3"] in ("agent_unavailable", "agent_lost")


def test_an_agent_that_hangs_up_soon_without_audio_is_lost(site: AgentSite) -> None:
    agent = site.agent("agent_hangs_up", hold_seconds=TRIAL_SECONDS - 1)
    call = site.call("release").went_as_written()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "agent_lost")]
    assert call.handoff_state()["handoff_reason"] == "agent_lost"


def test_an_agent_that_sends_no_audio_may_hang_up_after_a_while(site: AgentSite) -> None:
    agent = site.agent("agent_hangs_up", hold_seconds=LISTENS_SECONDS)
    call = site.call("release").went_as_written()
    agent.check()
    assert call.record()["reason"] == "agent_ended"
    assert call.signals() == [{"p1": "End"}]


@pytest.mark.parametrize("direction", ["inactive", "recvonly"])
def test_an_agent_that_answers_recvonly_is_lost(site: AgentSite, direction: str) -> None:
    agent = site.agent("agent_mute", hold_seconds=LISTENS_SECONDS, keys={"direction": direction})
    call = site.call("release").went_as_written()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "agent_lost")]
    assert call.record()["result"] != "success"


def test_a_bye_with_handoff_headers_hands_off(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_bye_handoff", keys={"destination": "sales", "parameter": "P5", "fold": " "})
    call = site.call("release").went_as_written()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "asked for it", "p4": "7", "p5": "four"}]
    state = call.handoff_state()
    assert (state["handoff_destination"], state["order_id"]) == ("sales", "7")
    assert call.record()["handoff"]["requested_by"] == "agent"
    assert count.shows(1, "sipbridge_handoffs_total", project="bot", method="release")


@pytest.mark.parametrize(
    "keys", [{"destination": "sales", "parameter": "P10"}, {"destination": "none", "parameter": "P5"}]
)
def test_a_bye_with_an_impossible_handoff_hands_off_to_the_default_destination(
    site: AgentSite, keys: dict[str, str]
) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_bye_handoff", keys={"fold": " ", **keys})
    call = site.call("release").went_as_written()
    agent.check()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "invalid_handoff")]
    assert call.handoff_state()["handoff_reason"] == "invalid_handoff"
    assert count.shows(1, "sipbridge_handoffs_total", project="bot")


# ------------------------------------------------------------ an agent that stops


def test_an_agent_that_does_not_respond_to_bye_delays_no_handoff(own_site: AgentSite) -> None:
    agent = own_site.agent("agent_dies", hold_seconds=DEAD_SECONDS)
    call = own_site.call("caller_hangs_up").went_as_written()
    assert call.record()["reason"] == "caller_hung_up"
    own_site.trunk.bridge.wait_for_metric(0, "sipbridge_calls_active", seconds=DEAD_SECONDS / 2)
    assert agent.program.is_running
    agent.check()


def test_an_agent_that_does_not_respond_to_notify_is_handed_off_from_all_the_same(own_site: AgentSite) -> None:
    agent = own_site.agent("agent_refers_and_dies", keys={"refer_to": SALES})
    call = own_site.call("release").went_as_written()
    assert call.record()["handoff"]["state"] == "handoff_completed"
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert "SIP/2.0 100 Trying" in outcomes(agent)


# ------------------------------------------------------------ REFER


@pytest.mark.parametrize("caller", ["release", "agent_caller_slow"])
def test_a_refer_hands_off_and_its_notify_reports_the_outcome(site: AgentSite, caller: str) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = site.call(caller).went_as_written()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "asked for it", "p4": "7"}]
    assert call.record()["handoff"]["requested_by"] == "agent"
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    assert count.shows(1, "sipbridge_handoffs_total", project="bot", method="release")


def test_a_handoff_that_cxone_confirms_is_reported_to_the_agent_as_a_success(site: AgentSite) -> None:
    agent = site.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = site.call("caller_hangs_up", "patient", hold_seconds=2).went_as_written()
    agent.check()
    assert len(call.signals()) == 1
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert call.handoff_state()["confirmed"] is True


def test_a_caller_that_hangs_up_before_the_handoff_is_reported_to_the_agent(site: AgentSite) -> None:
    agent = site.agent("agent_refers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = site.call("caller_hangs_up", hold_seconds=0.35).went_as_written()
    agent.check()
    assert call.signals() == []
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 487 Request Terminated"]
    assert call.record()["handoff"]["transfer"] == "caller_hung_up"


def test_headers_beside_a_refer_take_precedence(site: AgentSite) -> None:
    agent = site.agent("agent_refers_with_headers", hold_seconds=0.1, keys={"refer_to": SALES})
    call = site.call("release").went_as_written()
    agent.check()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "beside", "p4": "four"}]
    assert call.handoff_state()["order"] == 7


def test_a_refer_to_an_allowed_route_transfers_the_caller_there(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent(
        "agent_refers", hold_seconds=0.1, keys={"refer_to": "<sip:+15550199@127.0.0.1:5080?X-Queue=sales>"}
    )
    call = site.call("refer_ok").went_as_written()
    agent.check()
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert call.record()["handoff"]["transfer"] == "refer_accepted"
    assert count.shows(1, "sipbridge_transfers_total", method="refer", result="success")
    assert count.shows(1, "sipbridge_handoffs_total", project="bot", method="refer", result="success")


def test_an_agent_that_hangs_up_after_its_refer_still_receives_the_outcome(site: AgentSite) -> None:
    agent = site.agent("agent_refers_and_leaves", hold_seconds=0.1, keys={"refer_to": SALES})
    call = site.call("release").went_as_written()
    agent.check()
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert call.record()["handoff"]["destination"] == "sales"


@pytest.mark.parametrize(
    "refer_to", ["<sip:+15550199@evil.example.net>", "<tel:+15550199>", "<sip:x@127.0.0.1:5080.evil.example.net>"]
)
def test_a_refer_to_a_target_that_is_not_allowed_gets_403_and_loses_no_caller(site: AgentSite, refer_to: str) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_refers_elsewhere", hold_seconds=0.3, keys={"refer_to": refer_to})
    call = site.call("release").went_as_written()
    agent.check()
    assert call.record()["handoff"]["requested_by"] == "bridge"
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    assert outcomes(agent) == []
    [refusal] = [message for message in agent.received(403) if "REFER" in message.header("CSeq")]
    assert refusal.header("Warning").startswith("399 ")
    assert count.shows(1, "sipbridge_agent_faults_total", type="sip", fault="refer_refused")
    assert count.shows(1, "sipbridge_handoffs_total", project="bot")


def test_a_refer_before_the_call_is_answered_to_a_target_that_is_not_allowed_gets_403(site: AgentSite) -> None:
    keys = {"refer_to": "<sip:+15550199@evil.example.net>"}
    agent = site.agent("agent_refers_elsewhere", hold_seconds=0, keys=keys)
    call = site.call("agent_caller_slow").went_as_written()
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
def test_a_malformed_refer_gets_400_and_loses_no_caller(site: AgentSite, refer_to: str) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_refers_badly", hold_seconds=0.3, keys={"refer_to": refer_to})
    call = site.call("release").went_as_written()
    agent.check()
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    assert count.shows(1, "sipbridge_agent_faults_total", type="sip", fault="bad_refer")
    assert count.shows(1, "sipbridge_handoffs_total", project="bot")


@pytest.mark.parametrize("extension", ["replaces", "tdialog", "multiple-refer"])
def test_a_refer_that_requires_an_unsupported_extension_gets_420_and_loses_no_caller(
    site: AgentSite, extension: str
) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_refers_requiring", hold_seconds=0.3, keys={"refer_to": SALES, "extension": extension})
    call = site.call("release").went_as_written()
    agent.check()
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "invalid_handoff"}]
    [rejection] = [message for message in agent.received(420) if "REFER" in message.header("CSeq")]
    assert rejection.header("Unsupported") == extension
    assert rejection.header("Warning").startswith('399 sipbridge "Require ')
    assert count.shows(1, "sipbridge_agent_faults_total", type="sip", fault="bad_refer")
    assert count.shows(1, "sipbridge_handoffs_total", project="bot")


def test_a_second_refer_gets_491_and_the_first_one_goes_on(site: AgentSite) -> None:
    count = site.trunk.count()
    agent = site.agent("agent_refers_twice", hold_seconds=0.3, keys={"refer_to": SALES})
    call = site.call("release").went_as_written()
    agent.check()
    assert [signal["p1"] for signal in call.signals()] == ["sales"]
    assert outcomes(agent) == ["SIP/2.0 100 Trying", "SIP/2.0 202 Accepted"]
    assert count.shows(1, "sipbridge_handoffs_total", project="bot")
