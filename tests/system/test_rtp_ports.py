"""When the range of RTP ports is used up, calls get 503 with Retry-After, and never a call without audio."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.harness.ports import free_range, reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, client_settings, project_settings
from tests.harness.sip.raw_sender import Pinger
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .site import NUMBERS, Site, site

NO_PORTS = "no two ports of sip.rtp_ports are free"
WAITING: Settings = {"type": "prompt", "then": "handoff"}


@contextmanager
def site_with_ports(
    folder: Path, cxone: Simulator, ports: list[int], agent_port: int = 9, **projects: Settings
) -> Iterator[Site]:
    """Run a bridge with only these ports, and with an agent and a desk at another port; with further projects."""
    there = f"sip:there@127.0.0.1:{agent_port}"
    agent = {"type": "sip", "uri": there, "answer_timeout_seconds": 1.5}
    served = {
        "bot": project_settings("bot", agent=agent),
        "kind": project_settings("kind", agent=agent, on_agent_failure="handoff"),
        "desk": project_settings("desk", {"method": "invite", "uri": there}),
        **projects,
    }
    acme = client_settings(NUMBERS["acme"], cxone.url, served)
    with site(folder, cxone, sip={"rtp_ports": ports}, clients={"acme": acme}) as trunk:
        yield trunk


@contextmanager
def bound(ports: list[int]) -> Iterator[None]:
    """Bind all ports of a range, as another program would; ports that are really in use count as bound."""
    with ExitStack() as stack:
        for port in range(ports[0], ports[1] + 1):
            with suppress(OSError):
                stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        yield


def is_rejected_once(trunk: Site, project: str = "release") -> bool:
    """Place a call that gets 503 with Retry-After, and has no record and no Signal."""
    count = trunk.count()
    call = trunk.call("over_capacity", project).wait_for_scenario()
    assert call.has_no_record()
    assert call.signals() == []
    trunk.bridge.program.logged('"reason":"capacity"')
    return count.grows_by(1, "sipbridge_invites_total", code="503") and count.grows_by(1, "sipbridge_invites_total")


def test_calls_that_hold_all_ports_cause_503_and_release_the_ports(
    trunk: Site, tmp_path: Path, cxone: Simulator
) -> None:
    with site_with_ports(tmp_path, cxone, free_range(3), kept=waiting_project(trunk, "kept")) as small:
        for _ in range(3):
            calls = [small.call("caller_hangs_up", "kept", hold_seconds=2) for _ in range(3)]
            for call in calls:
                call.wait_until_answered()
            assert is_rejected_once(small, "kept")
            for call in calls:
                assert call.wait_for_scenario().record()["reason"] == "caller_hung_up"
            small.bridge.wait_until_idle()


def waiting_project(trunk: Site, name: str) -> Settings:
    """A project whose prompt is silent for seconds."""
    return project_settings(name, agent={"type": "prompt", "audio": str(trunk.folder / "clip.wav")})


def test_ports_held_by_another_program_cause_503_until_it_ends(tmp_path: Path, cxone: Simulator) -> None:
    ports = free_range(150)  # PJSUA on its own tries 100 pairs
    with site_with_ports(tmp_path, cxone, ports, release=project_settings("release")) as small:
        ready = f"{small.bridge.http}/readyz"
        with bound([ports[0], ports[1] - 1]):  # leaves half a pair
            assert is_rejected_once(small)
            wait_for(lambda: NO_PORTS in fetch(ready).body.decode(), "not to be ready")
            with Pinger(small.bridge.sip) as pinger:
                assert (fetch(ready).status, *pinger.response()) == (503, 503, "5")
        small.bridge.program.logged(NO_PORTS)
        with bound([ports[0] + 1, ports[1] - 2]):  # leaves the last pair
            wait_for(lambda: fetch(ready).status == 200, "to be ready")
            with Pinger(small.bridge.sip) as pinger:
                assert pinger.response() == (200, "")
            for _ in range(2):
                small.call("release").wait_for_scenario()


def test_agents_and_desks_without_a_port_for_audio_count_as_not_reached(tmp_path: Path, cxone: Simulator) -> None:
    with site_with_ports(tmp_path, cxone, free_range(1)) as small:
        count = small.count()
        refused = small.call("agent_caller_480", "bot").wait_for_scenario()
        assert refused.record()["reason"] == "agent_unavailable"
        assert count.grows_by(1, "sipbridge_invites_total", code="480")
        handed = small.call("release", "kind").wait_for_scenario()
        assert [signal["p3"] for signal in handed.signals()] == ["agent_unavailable"]
        assert count.grows_by(2, "sipbridge_agent_connects_total", type="sip", result="upstream_error")
        small.bridge.program.logged(f"SIP 503, {NO_PORTS}")
        # The Studio script takes the caller that was to be joined to a desk.
        given = small.call("release", "desk").wait_for_scenario()
        assert given.record()["handoff"]["transfer"] == "invite_refused, released"
        assert len(given.signals()) == 1


def test_a_call_whose_audio_is_not_open_yet_keeps_its_ports(tmp_path: Path, cxone: Simulator) -> None:
    agent_port, ports = reserved_port(), free_range(2)
    with site_with_ports(tmp_path, cxone, ports, agent_port) as small:
        options = call_options()
        agent = Sipp("agent_rings", small.folder, port=agent_port, options=options).await_port()
        with agent:
            # Without an offer PJSUA would open its audio at the answer, which comes after the agent was given up.
            call = small.call("no_offer", "kind")
            wait_for(lambda: agent.received("INVITE"), "an INVITE to the agent")
            assert is_rejected_once(small, "bot")
            (answer,) = call.wait_for_scenario().sipp.received(200)
            agent.check()
        assert any(f"m=audio {port} " in answer.body for port in range(ports[0], ports[1], 2))
        assert call.record()["handoff"]["reason"] == "agent_unavailable"
