"""Calls with audio at both ends: the test decides what caller and agent send, and reads what each received."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.harness.certificates import Authority
from tests.harness.media.g711 import PCMU
from tests.harness.media.media_agent import AgentCall, MediaAgent
from tests.harness.media.rtp_peer import RtpLoop, RtpPort, RtpStream
from tests.harness.media.stamp import ReceivedFrame
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for

from .site import Contact

NUMBER = "+19995550091"
SIP, WEBSOCKET = "sip", "websocket"


class Peer(Protocol):
    """One end of a call."""

    def send_frames(self, frames: Iterable[bytes]) -> None: ...
    def stamps(self) -> list[ReceivedFrame]: ...
    def digits(self) -> str: ...


@dataclass(frozen=True)
class AudioCall:
    """An answered call with audio at both ends."""

    caller: RtpStream
    agent: Peer
    signalling: Sipp
    agent_signalling: Sipp | None

    @property
    def sip_agent(self) -> RtpStream:
        """The agent's end of a call to a SIP agent."""
        assert isinstance(self.agent, RtpStream)
        return self.agent

    @property
    def websocket_agent(self) -> AgentCall:
        """The agent's end of a call to a WebSocket agent."""
        assert isinstance(self.agent, AgentCall)
        return self.agent

    def wait_for_ack(self, invites: int) -> None:
        """Return once the caller has sent this many INVITEs and their ACKs."""

        def acknowledged() -> bool:
            acks = [each for each in self.signalling.messages if each.sent and each.method == "ACK"]
            return any(each.header("CSeq").startswith(f"{invites} ") for each in acks)

        wait_for(acknowledged, f"the ACK of INVITE {invites}")


@dataclass(frozen=True)
class AudioSite:
    """A bridge with a SIP and a WebSocket agent, each in a project of that name."""

    bridge: Bridge
    folder: Path
    rtp: RtpLoop
    agent: MediaAgent
    sip_agent_port: int

    @contextmanager
    def call(
        self,
        kind: str,
        scenario: str = "media_caller",
        *,
        caller: RtpPort | None = None,
        payload_type: int = PCMU,
        pause_seconds: float = 0,
        keys: Mapping[str, str] | None = None,
    ) -> Iterator[AudioCall]:
        """Place a call to an agent, with audio while the block runs; the bridge ends it afterwards.

        `caller` is the address in the caller's SDP, and `keys` fill the scenario's own `[names]`.
        """
        contact = Contact.new()
        project = self.bridge.project("media", kind, key(kind))
        with ExitStack() as stack:
            caller_port = caller or stack.enter_context(self.rtp.port(payload_type))
            agent_port = stack.enter_context(self.rtp.port())
            answering = stack.enter_context(self._answering(agent_port.port)) if kind == SIP else None
            all_keys = {
                "token": token(kind),
                "contact_id": contact.id,
                "main_contact_id": contact.main_id,
                "rtp_port": str(caller_port.port),
                "payload_type": str(payload_type),
                **(keys or {}),
            }
            options = call_options(hold_seconds=pause_seconds)
            sipp = Sipp(scenario, self.folder, remote=self.bridge.sip, number=NUMBER, keys=all_keys, options=options)
            with sipp:
                call_id = project.live_call(contact.id)
                agent: Peer = agent_port.stream() if answering else self.agent.next_call()
                if answering:
                    agent_port.stream().dtmf_payload_type = _dtmf_payload_type(answering)
                try:
                    yield AudioCall(caller_port.stream(), agent, sipp, answering)
                finally:
                    _hang_up(project, call_id)
                sipp.check()
                if answering:
                    answering.check()

    def _answering(self, rtp_port: int) -> Sipp:
        sipp = Sipp("media_agent", self.folder, port=self.sip_agent_port, keys={"rtp_port": str(rtp_port)})
        return sipp.await_port()


@contextmanager
def audio_site(
    folder: Path,
    cxone: Simulator,
    *,
    authority: Authority | None = None,
    **sip: Any,  # noqa: ANN401 (YAML)
) -> Iterator[AudioSite]:
    """Run the bridge and both agents; `sip` are settings of the bridge.

    With an authority the WebSocket agent is served over TLS, with a certificate of it.
    """
    sip_agent_port = reserved_port()
    tls, trust = None, {}
    if authority is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(authority.issue("agent").both)
        trust = {"ca_file": str(authority.file)}
    with RtpLoop() as rtp, MediaAgent(tls=tls) as agent:
        agents = {
            SIP: {"type": "sip", "uri": f"sip:agent@127.0.0.1:{sip_agent_port}"},
            WEBSOCKET: {"type": "websocket", "url": agent.url, **trust},
        }
        projects = {name: project_settings(name, agent=settings) for name, settings in agents.items()}
        settings = bridge_settings(folder, {"media": client_settings(NUMBER, cxone.url, projects)}, sip=sip)
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            yield AudioSite(running, folder, rtp, agent, sip_agent_port)


def _hang_up(project: Project, call_id: str) -> None:
    response = project.request(f"calls/{call_id}/hangup", "POST")
    assert response.status // 100 == 2, response.body


def _dtmf_payload_type(answering: Sipp) -> int:
    """Return the payload type of telephone-event in the bridge's offer to the agent."""
    (invite, *_) = answering.received("INVITE")
    found = re.search(r"a=rtpmap:(\d+) telephone-event/8000", invite.body)
    assert found, invite.body
    return int(found[1])
