"""A bridge behind TLS: its certificate authority, its clients, and their audio in SRTP."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.certificates import Authority, Pair, tls_settings
from tests.harness.media.media_agent import AgentCall, MediaAgent
from tests.harness.media.rtp_peer import RtpLoop, RtpPort, RtpStream
from tests.harness.media.srtp import Key, Srtp
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.sip_messages import Message
from tests.harness.sip.tls_caller import StreamCaller, TlsCaller, offer

from .site import Contact

NUMBER = "+19995550071"
PROJECT = "talking"


@dataclass(frozen=True)
class SecureCall:
    """An answered call from a TLS caller to a WebSocket agent, with SRTP."""

    sip: TlsCaller
    caller: RtpStream
    agent: AgentCall
    srtp: Srtp
    project: Project
    contact_id: str
    rtp_port: RtpPort

    @property
    def port(self) -> int:
        """The port of the caller's audio."""
        return self.rtp_port.port

    def hang_up(self) -> None:
        """End the call through the API."""
        answer = self.project.request(f"calls/{self.project.live_call(self.contact_id)}/hangup", "POST")
        assert answer.status // 100 == 2, answer.body


@dataclass(frozen=True)
class SecureSite:
    """The running bridge. `authority` issued its certificate and the client certificates that it accepts."""

    bridge: Bridge
    folder: Path
    rtp: RtpLoop
    agent: MediaAgent
    authority: Authority
    own: Pair
    guest: Pair

    def context(
        self, certificate: Pair | None, authority: Authority | None = None, *, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """A client's TLS context: it trusts the authority, presents that certificate and speaks only that version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations((authority or self.authority).file)
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        if version:
            context.maximum_version = context.minimum_version = version
        return context

    def connect(self, context: ssl.SSLContext | None = None, **settings: Any) -> TlsCaller:  # noqa: ANN401 (those of TlsCaller)
        """Connect, as the guest by default."""
        return TlsCaller(self.bridge.sip_tls, context or self.context(self.guest), **settings)

    def invite(
        self, connection: StreamCaller, sdp: str, *, late: str = "", kind: str = "application/sdp"
    ) -> tuple[Message, str]:
        """Call the project; return the final response and the contact id."""
        contact = Contact.new()
        headers = {"X-Auth-Token": token(PROJECT), "X-InContact-ContactId": contact.id, "Content-Type": kind}
        return connection.invite(NUMBER, headers, sdp, late=late), contact.id

    @property
    def project(self) -> Project:
        """The API of the only project."""
        return self.bridge.project("secure", PROJECT, key(PROJECT))

    @contextmanager
    def call(self, profile: str = "RTP/SAVP", others: tuple[str, ...] = ()) -> Iterator[SecureCall]:
        """Place a call with SRTP, its `a=crypto` line after `others`; it ends with the block."""
        own, srtp = Key(), Srtp()
        with ExitStack() as stack:
            port = stack.enter_context(self.rtp.port(srtp=srtp))
            connection = stack.enter_context(self.connect())
            answer, contact_id = self.invite(connection, offer(port.port, profile, (*others, own.attribute())))
            assert answer.status == 200, answer.text
            srtp.use(own, Key.of(answer.body))
            agent = self.agent.next_call()
            yield SecureCall(connection, port.stream(), agent, srtp, self.project, contact_id, port)
            connection.bye()
            self.project.ended_call(contact_id)

    def log(self) -> str:
        """The bridge's log so far."""
        return (self.folder / "bridge.log").read_text()


@contextmanager
def secure_site(
    folder: Path, cxone: Simulator, *, srtp: str, require: bool = True, agent_uri: str | None = None
) -> Iterator[SecureSite]:
    """Run the bridge with one project: the given SIP agent, or a WebSocket agent."""
    authority = Authority(folder)
    own, guest = authority.issue("bridge"), authority.issue("guest", "guest.test")
    with RtpLoop() as rtp, MediaAgent() as agent:
        websocket, sip_agent = {"type": "websocket", "url": agent.url}, {"type": "sip", "uri": agent_uri}
        project = project_settings(PROJECT, agent=sip_agent if agent_uri else websocket)
        sip = {
            "listen": ["tls://127.0.0.1:0", "tcp://127.0.0.1:0"],
            "srtp": srtp,
            "tls": tls_settings(own, authority, require=require),
        }
        settings = bridge_settings(folder, {"secure": client_settings(NUMBER, cxone.url, {PROJECT: project})}, sip=sip)
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            yield SecureSite(running, folder, rtp, agent, authority, own, guest)
