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
from tests.harness.media.stamp import Stamps
from tests.harness.ports import reserved_port
from tests.harness.programs.baresip import Baresip
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, bridge_settings, client_settings, project_settings
from tests.harness.waiting import wait_for

from .site import (
    NUMBERS,
    InteropSite,
    TracedCall,
    assert_in_order,
    assert_whole,
    frame_numbers,
    longest_run,
    measure_echo,
    recorded_frames,
    tokenless_project,
    wait_for_more_frames,
    wait_for_run,
    write_recording,
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
class SecureInteropSite:
    """A site behind TLS, whose `authority` all trust; `peer` is baresip's own certificate."""

    base: InteropSite
    authority: Authority
    peer: Pair
    websocket_agent: MediaAgent

    def agent(
        self,
        folder: Path,
        *,
        srtp: Offers | None = "srtp-mand",
        certificate: Pair | None = None,
        recording: Path | None = None,
    ) -> Baresip:
        """Run the agent; it echoes unless it has a recording to play."""
        certificate = certificate or self.peer
        # Over TLS it listens on the port above its own.
        port = self.base.agent_port - 1
        return Baresip(
            folder, "agent", recording=recording, port=port, transport="tls", certificate=certificate, srtp=srtp
        )

    @contextmanager
    def caller(
        self,
        folder: Path,
        client: str,
        *,
        srtp: Offers | None = "srtp-mand",
        certificate: Pair | None = None,
        recording: Path | None = None,
    ) -> Iterator[tuple[Baresip, TracedCall]]:
        """Call a client from baresip; the contact is the Call-ID that it generates."""
        with Baresip(
            folder, "caller", recording=recording, transport="tls", certificate=certificate, srtp=srtp
        ) as caller:
            caller.dial(f"sip:{NUMBERS[client]}@{self.base.bridge.sip_tls};transport=tls")
            contact_id = caller.next_trace_line("Call-ID: ").removeprefix("Call-ID: ").strip()
            yield caller, self.base.call_of(client, client, contact_id)

    def log(self) -> str:
        """The bridge's log so far."""
        return (self.base.folder / "bridge.log").read_text()


@contextmanager
def secure_interop_site(folder: Path, cxone: Simulator, srtp: str) -> Iterator[SecureInteropSite]:
    """Run a bridge that asks for certificates, with agents over TLS and a trunk over UDP and TLS."""
    authority = Authority(folder)
    own, peer = authority.issue("bridge"), authority.issue("peer")
    agent_port, _ = reserved_port() + 1, reserved_port()
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
            "talking": {"talking": tokenless_project("talking", agent=talking)},
            "streaming": {"streaming": tokenless_project("streaming", agent=streaming)},
            "referring": {"referring": tokenless_project("referring", desk)},
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
            site = InteropSite(running, cxone, folder, rtp, agent_port, 0)
            yield SecureInteropSite(site, authority, peer, websocket_agent)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureInteropSite]:
    """A site without SRTP on the trunk."""
    with secure_interop_site(tmp_path_factory.mktemp("secure"), cxone, "disabled") as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureInteropSite]:
    """A site with mandatory SRTP on the trunk."""
    with secure_interop_site(tmp_path_factory.mktemp("strict"), cxone, "mandatory") as running:
        yield running


# ---------------------------------------------------------------- an agent


@pytest.mark.parametrize(
    ("project", "agent_srtp"),
    [("secure", "srtp-mand"), ("sips", "srtp-mand"), ("optional", "srtp"), ("optional", None), ("plain", None)],
)
def test_an_srtp_agents_echo_comes_back_complete_to_a_caller_in_plain_rtp(
    site: SecureInteropSite, tmp_path: Path, project: str, agent_srtp: Offers | None
) -> None:
    with site.agent(tmp_path, srtp=agent_srtp) as agent, site.base.caller(project) as caller:
        if agent_srtp:
            agent.next_trace_line("SRTP is Enabled")
        assert_whole(measure_echo(caller.audio))
        agent.send_digits("70*")
        wait_for(lambda: caller.audio.digits() == "70*", "the agent's DTMF digits")


def test_an_agent_that_requires_srtp_is_not_reached_without_it(site: SecureInteropSite, tmp_path: Path) -> None:
    with site.agent(tmp_path, srtp="srtp-mand"), site.base.caller("plain", UNSERVED) as caller:
        wait_for(lambda: caller.has_response(480), "the rejection")


def test_an_agent_without_srtp_is_not_reached_if_srtp_is_mandatory(site: SecureInteropSite, tmp_path: Path) -> None:
    with site.agent(tmp_path, srtp=None), site.base.caller("secure", UNSERVED) as caller:
        wait_for(lambda: caller.has_response(480), "the rejection")


def test_audio_goes_on_after_an_agent_held_the_call(site: SecureInteropSite, tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "recording.wav", FRAMES, OF_AGENT)
    with site.agent(tmp_path, recording=recording) as agent, site.base.caller("secure") as caller:
        wait_for_more_frames(caller.audio, OF_AGENT)
        agent.hold()
        agent.next_trace_line("a=recvonly")  # the bridge's answer
        agent.resume()
        agent.next_trace_line("a=sendrecv")  # its offer
        agent.next_trace_line("a=sendrecv")  # and the answer
        wait_for_more_frames(caller.audio, OF_AGENT)
        caller.audio.send_digits("5")
        assert agent.event("CALL_DTMF_START")["param"] == "5"
        agent.hang_up()
        caller.call.record()


def test_requests_to_an_agent_stay_on_the_connection_with_the_verified_certificate(
    site: SecureInteropSite, tmp_path: Path
) -> None:
    # Its Contact is 127.0.0.1, which this certificate does not name.
    certificate = site.authority.issue("named", "localhost")
    with site.agent(tmp_path, certificate=certificate) as agent, site.base.caller("named") as caller:
        assert_whole(measure_echo(caller.audio))
        caller.call.hang_up()
        agent.event("CALL_CLOSED")


@pytest.mark.parametrize(
    ("project", "fault", "logged"),
    [
        ("secure", "other authority", "the certificate is untrusted"),
        ("secure", "other name", "its certificate is for another name"),
        ("secure", "common name", "its certificate is for another name"),
        ("secure", "expired", "the certificate has expired"),
        ("named", "address only", "its certificate is for another name"),
    ],
)
def test_an_agent_without_a_valid_certificate_is_not_reached(
    site: SecureInteropSite, tmp_path: Path, project: str, fault: str, logged: str
) -> None:
    certificate = {
        "other authority": lambda: Authority(tmp_path, "other").issue("agent"),
        "other name": lambda: site.authority.issue("other", "agent.test"),
        "common name": lambda: site.authority.issue("common", "agent.test", common_name="127.0.0.1"),
        "expired": lambda: site.authority.issue("expired", expires=datetime.now(UTC) - timedelta(days=1)),
        "address only": lambda: site.authority.issue("address", "127.0.0.1"),
    }[fault]()
    before = len(site.log())
    with site.agent(tmp_path, certificate=certificate), site.base.caller(project, UNSERVED) as caller:
        wait_for(lambda: caller.has_response(480), "the rejection")
    wait_for(lambda: f"port {site.base.agent_port}, failed: {logged}" in site.log()[before:], "the log line")


# ---------------------------------------------------------------- a caller


def test_audio_of_a_tls_caller_and_an_agent_arrives_in_order_in_both_directions(
    strict: SecureInteropSite, tmp_path: Path
) -> None:
    caller_recording = write_recording(tmp_path / "caller.wav", FRAMES, OF_CALLER)
    agent_recording = write_recording(tmp_path / "agent.wav", FRAMES, OF_AGENT)
    with (
        strict.agent(tmp_path, recording=agent_recording) as agent,
        strict.caller(tmp_path, "talking", certificate=strict.peer, recording=caller_recording) as (caller, call),
    ):
        sides = (caller, OF_AGENT), (agent, OF_CALLER)
        for side in sides:
            wait_for_run(*side, RUN)
        for sender, other, digits in ((caller, agent, "15#"), (agent, caller, "70*")):
            sender.send_digits(digits)
            assert [other.event("CALL_DTMF_START")["param"] for _ in digits] == list(digits)
        caller.hang_up()
        agent.event("CALL_CLOSED")
        record = call.record()
    assert (record["ended_by"], record["reason"]) == ("caller", "caller_hung_up")
    for side in sides:
        assert_in_order(recorded_frames(*side), RUN)


def test_a_caller_echoes_the_audio_of_a_websocket_agent(strict: SecureInteropSite, tmp_path: Path) -> None:
    with strict.caller(tmp_path, "streaming", certificate=strict.peer) as (caller, call):
        caller.next_trace_line("SRTP is Enabled")
        agent = strict.websocket_agent.next_call()
        agent.send_frames(itertools.islice(Stamps(7), RUN))
        wait_for(lambda: longest_run(frame_numbers(agent.stamps(), 7)) >= RUN // 2, "the echo")
        caller.hang_up()
        call.record()


def test_a_desk_is_invited_over_tls_and_srtp(strict: SecureInteropSite, tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "recording.wav", FRAMES, OF_AGENT)
    with (
        strict.agent(tmp_path, recording=recording) as desk,
        strict.caller(tmp_path, "referring", certificate=strict.peer) as (caller, call),
    ):
        desk.event("CALL_ESTABLISHED")
        wait_for_run(caller, OF_AGENT, RUN // 2)
        caller.hang_up()
        desk.event("CALL_CLOSED")
        assert call.record()["handoff"]["state"] == "handoff_completed"
    assert_in_order(recorded_frames(caller, OF_AGENT), RUN // 2)


def test_a_caller_in_plain_rtp_is_rejected_if_srtp_is_mandatory(strict: SecureInteropSite, tmp_path: Path) -> None:
    with strict.caller(tmp_path, "streaming", srtp=None, certificate=strict.peer) as (caller, _):
        assert caller.event("CALL_CLOSED")["param"].startswith("488 ")


def test_a_caller_in_srtp_is_rejected_if_the_trunk_has_no_srtp(site: SecureInteropSite, tmp_path: Path) -> None:
    with site.caller(tmp_path, "streaming", certificate=site.peer) as (caller, _):
        assert caller.event("CALL_CLOSED")["param"].startswith("488 ")


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
def test_a_caller_without_a_valid_certificate_is_rejected(site: SecureInteropSite, tmp_path: Path, shown: str) -> None:
    certificate = Authority(tmp_path, "other").issue("caller") if shown == "a stranger's" else None
    logged = "the certificate is untrusted" if certificate else "peer did not return a certificate"
    before, invites = len(site.log()), site.base.bridge.metrics()
    with site.caller(tmp_path, "streaming", certificate=certificate) as (caller, call):
        wait_for(lambda: f"failed: {logged}" in site.log()[before:], "the log line")
        assert call.project.calls(call.contact_id) == []
        caller.program.kill()  # baresip would ring for half a minute after a request to end
    assert site.base.bridge.metrics().since(invites, "sipbridge_invites_total") == 0
