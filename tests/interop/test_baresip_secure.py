"""baresip over TLS and SRTP: as agent, as caller, and as a rejected peer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from tests.harness.certificates import Authority, Pair, tls_settings
from tests.harness.media.media_agent import MediaAgent
from tests.harness.media.rtp_peer import RtpLoop
from tests.harness.media.stamp import Stamps, find_stamps
from tests.harness.ports import kept_port
from tests.harness.programs.baresip import Baresip
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, bridge_settings, client_settings, project_settings
from tests.harness.waiting import wait_for

from .stage import (
    NUMBERS,
    Stage,
    TracedCall,
    assert_in_order,
    assert_whole,
    echoed,
    hears_on,
    longest_run,
    numbers,
    open_project,
    recording,
)

pytestmark = pytest.mark.usefixtures("baresip")

FRAMES = 3000  # a minute: longer than any of these calls
OF_CALLER, OF_AGENT = 60_005, 60_006
RUN = 100  # 2 s
UNSERVED = "agent_caller_480"
# Projects, each with an agent at the same address.
AGENTS = {
    "secure": "sip:agent@127.0.0.1:{port};transport=tls;srtp",
    "sips": "sips:agent@127.0.0.1:{port};srtp=mandatory",
    "optional": "sip:agent@127.0.0.1:{port};transport=tls;srtp=optional",
    "plain": "sip:agent@127.0.0.1:{port};transport=tls",
    "named": "sip:agent@localhost:{port};transport=tls;srtp",
}
Offers = Literal["srtp", "srtp-mand"]


@dataclass(frozen=True)
class SecureStage:
    """A stage behind TLS, whose `authority` all trust; `peer` is baresip's own certificate."""

    stage: Stage
    authority: Authority
    peer: Pair
    websocket_agent: MediaAgent

    def agent(
        self, folder: Path, *, srtp: Offers | None = "srtp-mand", shows: Pair | None = None, says: Path | None = None
    ) -> Baresip:
        """Run the agent; it echoes unless it has a recording to play."""
        shows = shows or self.peer
        # Over TLS it listens on the port above its own.
        port = self.stage.agent_port - 1
        return Baresip(folder, "agent", says=says, port=port, transport="tls", certificate=shows, srtp=srtp)

    @contextmanager
    def caller(
        self,
        folder: Path,
        client: str,
        *,
        srtp: Offers | None = "srtp-mand",
        shows: Pair | None = None,
        says: Path | None = None,
    ) -> Iterator[tuple[Baresip, TracedCall]]:
        """Call a client from baresip; the contact is the Call-ID that it generates."""
        with Baresip(folder, "caller", says=says, transport="tls", certificate=shows, srtp=srtp) as caller:
            caller.dial(f"sip:{NUMBERS[client]}@{self.stage.bridge.sip_tls};transport=tls")
            contact_id = caller.traced("Call-ID: ").removeprefix("Call-ID: ").strip()
            yield caller, self.stage.call_of(client, client, contact_id)

    def log(self) -> str:
        """The bridge's log so far."""
        return (self.stage.folder / "bridge.log").read_text()


@contextmanager
def secure_stage(folder: Path, cxone: Simulator, srtp: str) -> Iterator[SecureStage]:
    """Run a bridge that asks for certificates, with agents over TLS and a trunk over UDP and TLS."""
    authority = Authority(folder)
    own, peer = authority.issue("bridge"), authority.issue("peer")
    agent_port, _ = kept_port() + 1, kept_port()
    with RtpLoop() as rtp, MediaAgent() as websocket_agent:
        projects = {
            name: project_settings(name, agent={"type": "sip", "uri": uri.format(port=agent_port)})
            for name, uri in AGENTS.items()
        }
        talking: Settings = {"type": "sip", "uri": AGENTS["secure"].format(port=agent_port)}
        streaming: Settings = {"type": "websocket", "url": websocket_agent.url}
        desk = {"method": "invite", "uri": AGENTS["secure"].format(port=agent_port)}
        clients = {
            "peers": projects,
            "talking": {"talking": open_project("talking", agent=talking)},
            "streaming": {"streaming": open_project("streaming", agent=streaming)},
            "referring": {"referring": open_project("referring", desk)},
        }
        settings = bridge_settings(
            folder,
            {name: client_settings(NUMBERS[name], cxone.url, each) for name, each in clients.items()},
            sip={
                "listen": ["udp://127.0.0.1:0", "tls://127.0.0.1:0"],
                "srtp": srtp,
                "tls": tls_settings(own, authority, require=True),
            },
        )
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            place = Stage(running, cxone, folder, rtp, agent_port, 0)
            yield SecureStage(place, authority, peer, websocket_agent)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureStage]:
    """A stage without SRTP on the trunk."""
    with secure_stage(tmp_path_factory.mktemp("secure"), cxone, "disabled") as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureStage]:
    """A stage with mandatory SRTP on the trunk."""
    with secure_stage(tmp_path_factory.mktemp("strict"), cxone, "mandatory") as running:
        yield running


# ---------------------------------------------------------------- an agent


@pytest.mark.parametrize(
    ("project", "takes"),
    [("secure", "srtp-mand"), ("sips", "srtp-mand"), ("optional", "srtp"), ("optional", None), ("plain", None)],
)
def test_an_srtp_agents_echo_comes_back_complete_to_a_caller_in_plain_rtp(
    place: SecureStage, tmp_path: Path, project: str, takes: Offers | None
) -> None:
    with place.agent(tmp_path, srtp=takes) as agent, place.stage.caller(project) as caller:
        if takes:
            agent.traced("SRTP is Enabled")
        assert_whole(echoed(caller.audio))
        agent.press("70*")
        wait_for(lambda: caller.audio.keys() == "70*", "the agent's DTMF digits")


def test_an_agent_that_requires_srtp_is_not_reached_without_it(place: SecureStage, tmp_path: Path) -> None:
    with place.agent(tmp_path, srtp="srtp-mand"), place.stage.caller("plain", UNSERVED) as caller:
        wait_for(lambda: caller.has(480), "the rejection")


def test_an_agent_without_srtp_is_not_reached_if_srtp_is_mandatory(place: SecureStage, tmp_path: Path) -> None:
    with place.agent(tmp_path, srtp=None), place.stage.caller("secure", UNSERVED) as caller:
        wait_for(lambda: caller.has(480), "the rejection")


def test_audio_goes_on_after_an_agent_held_the_call(place: SecureStage, tmp_path: Path) -> None:
    says = recording(tmp_path / "says.wav", FRAMES, OF_AGENT)
    with place.agent(tmp_path, says=says) as agent, place.stage.caller("secure") as caller:
        hears_on(caller.audio, OF_AGENT)
        agent.hold()
        agent.traced("a=recvonly")  # the bridge's answer
        agent.resume()
        agent.traced("a=sendrecv")  # its offer
        agent.traced("a=sendrecv")  # and the answer
        hears_on(caller.audio, OF_AGENT)
        caller.audio.press("5")
        assert agent.event("CALL_DTMF_START")["param"] == "5"
        agent.hang_up()
        caller.call.record()


def test_requests_to_an_agent_stay_on_the_connection_with_the_verified_certificate(
    place: SecureStage, tmp_path: Path
) -> None:
    # Its Contact is 127.0.0.1, which this certificate does not name.
    shows = place.authority.issue("named", "localhost")
    with place.agent(tmp_path, shows=shows) as agent, place.stage.caller("named") as caller:
        assert_whole(echoed(caller.audio))
        caller.call.hang_up()
        agent.event("CALL_CLOSED")


@pytest.mark.parametrize(
    ("project", "fault", "said"),
    [
        ("secure", "other authority", "the certificate is untrusted"),
        ("secure", "other name", "its certificate is for another name"),
        ("secure", "common name", "its certificate is for another name"),
        ("secure", "expired", "the certificate has expired"),
        ("named", "address only", "its certificate is for another name"),
    ],
)
def test_an_agent_without_a_valid_certificate_is_not_reached(
    place: SecureStage, tmp_path: Path, project: str, fault: str, said: str
) -> None:
    shows = {
        "other authority": lambda: Authority(tmp_path, "other").issue("agent"),
        "other name": lambda: place.authority.issue("other", "agent.test"),
        "common name": lambda: place.authority.issue("common", "agent.test", common_name="127.0.0.1"),
        "expired": lambda: place.authority.issue("expired", expires=datetime.now(UTC) - timedelta(days=1)),
        "address only": lambda: place.authority.issue("address", "127.0.0.1"),
    }[fault]()
    before = len(place.log())
    with place.agent(tmp_path, shows=shows), place.stage.caller(project, UNSERVED) as caller:
        wait_for(lambda: caller.has(480), "the rejection")
    wait_for(lambda: f"port {place.stage.agent_port}, failed: {said}" in place.log()[before:], "the log line")


# ---------------------------------------------------------------- a caller


def test_audio_of_a_tls_caller_and_an_agent_arrives_in_order_in_both_directions(
    strict: SecureStage, tmp_path: Path
) -> None:
    caller_says = recording(tmp_path / "caller.wav", FRAMES, OF_CALLER)
    agent_says = recording(tmp_path / "agent.wav", FRAMES, OF_AGENT)
    with (
        strict.agent(tmp_path, says=agent_says) as agent,
        strict.caller(tmp_path, "talking", shows=strict.peer, says=caller_says) as (caller, call),
    ):
        sides = caller, agent
        wait_for(lambda: all(side.has_heard(RUN + 50) for side in sides), "audio at both sides")
        for presser, other, keys in ((caller, agent, "15#"), (agent, caller, "70*")):
            presser.press(keys)
            assert [other.event("CALL_DTMF_START")["param"] for _ in keys] == list(keys)
        caller.hang_up()
        agent.event("CALL_CLOSED")
        record = call.record()
    assert (record["ended_by"], record["reason"]) == ("caller", "caller_hung_up")
    for side, of_other in ((caller, OF_AGENT), (agent, OF_CALLER)):
        assert_in_order(numbers(list(find_stamps([(0, side.heard())])), of_other), RUN)


def test_a_caller_echoes_the_audio_of_a_websocket_agent(strict: SecureStage, tmp_path: Path) -> None:
    with strict.caller(tmp_path, "streaming", shows=strict.peer) as (caller, call):
        caller.traced("SRTP is Enabled")
        agent = strict.websocket_agent.next_call()
        agent.say(itertools.islice(Stamps(7), RUN))
        wait_for(lambda: longest_run(numbers(agent.stamps(), 7)) >= RUN // 2, "the echo")
        caller.hang_up()
        call.record()


def test_a_desk_is_invited_over_tls_and_srtp(strict: SecureStage, tmp_path: Path) -> None:
    says = recording(tmp_path / "says.wav", FRAMES, OF_AGENT)
    with (
        strict.agent(tmp_path, says=says) as desk,
        strict.caller(tmp_path, "referring", shows=strict.peer) as (caller, call),
    ):
        desk.event("CALL_ESTABLISHED")
        wait_for(lambda: caller.has_heard(RUN), "the desk's audio")
        caller.hang_up()
        desk.event("CALL_CLOSED")
        assert call.record()["handoff"]["state"] == "handoff_completed"
    assert_in_order(numbers(list(find_stamps([(0, caller.heard())])), OF_AGENT), RUN // 2)


def test_a_caller_in_plain_rtp_is_rejected_if_srtp_is_mandatory(strict: SecureStage, tmp_path: Path) -> None:
    with strict.caller(tmp_path, "streaming", srtp=None, shows=strict.peer) as (caller, _):
        assert caller.event("CALL_CLOSED")["param"].startswith("488 ")


def test_a_caller_in_srtp_is_rejected_if_the_trunk_has_no_srtp(place: SecureStage, tmp_path: Path) -> None:
    with place.caller(tmp_path, "streaming", shows=place.peer) as (caller, _):
        assert caller.event("CALL_CLOSED")["param"].startswith("488 ")


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
def test_a_caller_without_a_valid_certificate_is_rejected(place: SecureStage, tmp_path: Path, shown: str) -> None:
    shows = Authority(tmp_path, "other").issue("caller") if shown == "a stranger's" else None
    said = "the certificate is untrusted" if shows else "peer did not return a certificate"
    before, invites = len(place.log()), place.stage.bridge.metrics()
    with place.caller(tmp_path, "streaming", shows=shows) as (caller, call):
        wait_for(lambda: f"failed: {said}" in place.log()[before:], "the log line")
        assert call.project.calls(call.contact_id) == []
        caller.program.kill()  # baresip would ring for half a minute after a request to end
    assert place.stage.bridge.metrics().since(invites, "sipbridge_invites_total") == 0
