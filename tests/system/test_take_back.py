"""Take-back with the real program: the agent gets a caller back whom CXone does not take, once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.g711 import MULAW, noise
from tests.harness.media.recordings import write_wav
from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, key, project_settings
from tests.harness.waiting import wait_for

from .audio_site import AudioCall
from .site import PlacedCall
from .two_way_audio import assert_whole_both_ways
from .websocket_site import ScriptedCall, WebsocketCall, WebsocketSite, websocket_project, websocket_site

HOLD = noise(0.45)[:-37]
ON_HOLD = noise(0.5, seed=2)  # what the agent says while it is muted
TAKE_BACK_SECONDS = 2
NEVER_SECONDS = 60


@dataclass(frozen=True)
class ReturningSite:
    """A bridge that gives callers back: at once (`returning`, `relayed`) or not within a test (`patient`)."""

    callers: WebsocketSite
    agent_port: int


def _projects(folder: Path, agent_port: int, url: str) -> dict[str, Settings]:
    wav = write_wav(folder / "hold.wav", array("h", (MULAW[code] for code in HOLD)))
    soon = {"hold_audio": str(wav), "take_back_seconds": TAKE_BACK_SECONDS}
    relayed = project_settings("relayed", agent={"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent_port}"})
    relayed["handoff"] |= soon
    return {
        "returning": websocket_project("returning", url, handoff=soon),
        "patient": websocket_project("patient", url, handoff=soon | {"take_back_seconds": NEVER_SECONDS}),
        "relayed": relayed,
    }


@pytest.fixture(scope="module")
def returning(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[ReturningSite]:
    folder = tmp_path_factory.mktemp("take_back")
    port = reserved_port()
    with websocket_site(folder, cxone, lambda url: _projects(folder, port, url)) as callers:
        yield ReturningSite(callers, port)


def assert_talking(call: WebsocketCall, agent: ScriptedCall) -> None:
    """Assert that audio passes complete both ways."""
    assert_whole_both_ways(AudioCall(call.caller, agent, call.sipp, None), 25)


def states(agent: ScriptedCall) -> list[dict[str, object]]:
    """The `handoff` events that the agent has got."""
    return [message["handoff"] for _, message in agent.events("handoff")]


def media_clock_is_right(agent: ScriptedCall) -> bool:
    """Return True if the timestamps of the caller's audio have passed as fast as time since the first one."""
    (began_ns, first), *_, (ended_ns, last) = agent.events("media")
    passed_ms = (ended_ns - began_ns) / 1_000_000
    return abs(int(last["media"]["timestamp"]) - int(first["media"]["timestamp"]) - passed_ms) < 400


def test_an_agent_gets_its_caller_back_and_hands_off_again(returning: ReturningSite) -> None:
    site = returning.callers
    count = site.trunk.count()
    with site.call("returning") as call:
        agent = call.agent()
        call_id = call.wait_until_answered()
        agent.hand_off(reason="asked")
        agent.wait_for("handoff")
        call.signalled_ns()
        wait_for(lambda: HOLD in call.received_audio(), "the hold audio")
        heard = len(agent.events("media"))
        agent.send_at_once(ON_HOLD)
        agent.mark("on hold")
        agent.wait_for("mark")
        wait_for(lambda: HOLD * 2 in call.received_audio(), "more hold audio")
        assert len(agent.events("media")) == heard
        agent.wait_for("handoff", 2)
        assert states(agent) == [
            {"id": call_id, "state": "handoff_initiated"},
            {"id": call_id, "state": "handoff_failed", "reason": "taken_back"},
        ]
        assert_talking(call, agent)
        assert media_clock_is_right(agent)
        assert ON_HOLD[:1600] not in call.received_audio()
        assert HOLD not in call.received_audio()[-len(HOLD) :]
        assert call.project.calls(call.contact.id)[0]["state"] == "talking"
        agent.hand_off(reason="again")
        call.wait_for_scenario()
        record = call.record()
        assert agent.wait_for("stop")
    earlier, handoff = record["earlier_handoff"], record["handoff"]
    assert (earlier["reason"], earlier["signal"], earlier["transfer"]) == ("asked", "accepted", "taken_back")
    assert (earlier["state"], earlier["taken_back"]) == ("handoff_failed", True)
    assert (handoff["reason"], handoff["signal"], handoff["transfer"]) == ("again", "duplicate", "released")
    assert [signal["p3"] for signal in call.signals()] == ["asked"]
    assert count.grows_by(1, "sipbridge_take_backs_total", project="returning", result="success")
    assert count.grows_by(1, "sipbridge_signals_withheld_total")
    assert count.grows_by(2, "sipbridge_handoffs_total", project="returning")


def test_an_agent_that_did_not_ask_is_notified_that_it_is_muted(returning: ReturningSite) -> None:
    with returning.callers.call("returning") as call:
        agent = call.agent()
        call_id = call.wait_until_answered()
        call.project.request(f"calls/{call_id}/handoff", "POST", {"reason": "api"})
        agent.wait_for("handoff", 2)
        assert [state["state"] for state in states(agent)] == ["handoff_initiated", "handoff_failed"]
        assert_talking(call, agent)
        agent.hang_up()
        call.wait_for_scenario()
        record = call.record()
    assert (record["ended_by"], record["reason"]) == ("agent", "agent_ended")
    assert [signal["p3"] for signal in call.signals()] == ["api"]


def test_a_caller_whom_cxone_takes_is_not_given_back(returning: ReturningSite) -> None:
    site = returning.callers
    count = site.trunk.count()
    with site.call("patient", "media_taken", hold_seconds=2.5) as call:
        agent = call.agent()
        agent.hand_off(reason="asked")
        call.wait_for_scenario()
        record = call.record()
        agent.wait_for("stop")
        wait_for(lambda: agent.is_closed, "the end of the agent's socket")
    assert record["handoff"]["transfer"] == "released_by_peer"
    assert record["handoff"]["confirmed"] is True
    assert count.grows_by(0, "sipbridge_take_backs_total")


def test_an_agent_that_leaves_on_hold_leaves_the_caller_to_the_script(returning: ReturningSite) -> None:
    site = returning.callers
    count = site.trunk.count()
    with site.call("patient") as call:
        agent = call.agent()
        agent.hand_off(reason="asked")
        call.signalled_ns()
        wait_for(lambda: HOLD in call.received_audio(), "the hold audio")
        agent.hang_up()
        call.wait_for_scenario()
        assert call.record()["handoff"]["transfer"] == "released"
    assert count.grows_by(0, "sipbridge_take_backs_total", project="patient")


def test_a_relayed_agent_gets_its_caller_back(returning: ReturningSite) -> None:
    site = returning.callers
    with ExitStack() as stack:
        rtp = stack.enter_context(site.rtp.port())
        keys = {"rtp_port": str(rtp.port)}
        answering = Sipp("media_agent", site.trunk.folder, port=returning.agent_port, keys=keys)
        stack.enter_context(answering.await_port())
        call = stack.enter_context(site.call("relayed"))
        call_id = call.wait_until_answered()
        peers = AudioCall(call.caller, rtp.stream(), call.sipp, None)
        assert_whole_both_ways(peers, 25)
        call.project.request(f"calls/{call_id}/handoff", "POST", {"reason": "api"})
        wait_for(lambda: HOLD * 2 in call.received_audio(), "the hold audio")
        before = len(rtp.stream().packets)
        wait_for(lambda: call.project.calls(call.contact.id)[0]["state"] == "talking", "the take-back")
        # The agent's leg stays up, so its peer must not take it for dead.
        assert len(rtp.stream().packets) > before
        assert_whole_both_ways(peers, 25)
        assert len({packet.source for packet in rtp.stream().packets}) == 1
        call.project.request(f"calls/{call_id}/hangup", "POST")
        call.wait_for_scenario()
        record = call.record()
    assert record["handoff"]["taken_back"] is True
    assert record["reason"] == "hung_up_by_api"
    assert len(call.signals()) == 1


def test_a_kill_on_hold_is_recovered_as_after_any_signal(tmp_path: Path, cxone: Simulator) -> None:
    def projects(url: str) -> dict[str, Settings]:
        return _projects(tmp_path, reserved_port(), url)

    with websocket_site(tmp_path, cxone, projects) as site:
        call = _kill_on_hold(site)
    with websocket_site(tmp_path, cxone, projects) as site:
        site.trunk.bridge.program.logged("recovery_ended")
        record = site.trunk.bridge.project("acme", "patient", key("patient")).ended_call(call.contact.id)
        # The journal has the response of CXone within 0.05 s.
        assert record["handoff"]["signal"] in ("accepted", "unknown")
        assert record["handoff"]["taken_back"] is False
        assert [signal["p3"] for signal in call.signals()] == ["asked"]
        site.trunk.bridge.wait_for_metric(1, "sipbridge_calls_recovered_total", reason="signalled_before")


def _kill_on_hold(site: WebsocketSite) -> PlacedCall:
    """Kill the bridge while a caller is on hold."""
    call = site.trunk.call("release", "patient")
    agent = site.agents.call_of(call.contact.id)
    agent.hand_off(reason="asked")
    call.cxone.signals(call.contact.id, wait_for=1)
    site.trunk.bridge.program.kill()
    return call
