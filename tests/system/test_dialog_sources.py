"""Messages within a dialog that come from another address than the far end's, with the right tags."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

import pytest

from tests.harness.programs.simulator import Simulator
from tests.harness.settings import client_settings, project_settings, token
from tests.harness.sip.raw_agent import RawAgent
from tests.harness.sip.raw_call import RawCall
from tests.harness.sip.raw_sender import address_of
from tests.harness.sip.sip_messages import Message
from tests.harness.waiting import wait_for

from .site import NUMBERS, Contact, Site
from .site import site as base_site

STRANGER, CLUSTER = "127.0.0.13", "127.0.0.14"
STRANGERS = "sipbridge_dialog_strangers_total"
REQUESTS = ("BYE", "INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "PRACK", "OPTIONS")
SECONDS = 5.0


@dataclass(frozen=True)
class TwoSourceSite:
    """A bridge that trusts two addresses, and an agent with an address of its own and a trusted cluster."""

    trunk: Site
    agent: RawAgent

    def place(self, project: str = "bot") -> tuple[RawCall, Contact]:
        """Prepare a call, not yet placed."""
        contact = Contact.new()
        headers = (
            f"From: <sip:+15550100@127.0.0.1>;tag={contact.id}\r\nX-Auth-Token: {token(project)}\r\n"
            f"X-InContact-ContactId: {contact.id}\r\n"
        )
        return RawCall(self.trunk.bridge.sip, NUMBERS["acme"].encode(), headers.encode()), contact

    @contextmanager
    def talking(self, project: str = "bot") -> Iterator[RawCall]:
        """A call with the agent, which must still be up at the end."""
        self.agent.reset()
        call, _ = self.place(project)
        with call:
            assert call.place().status == 200
            self.agent.wait_for("ACK")
            yield call
            # Its CSeq has continued as if nothing had happened.
            call.send_digit(b"1")
            call.end()
        self.agent.wait_for("BYE")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[TwoSourceSite]:
    with ExitStack() as stack:
        agent = stack.enter_context(RawAgent())
        settings = {"type": "sip", "uri": f"sip:bot@{agent.address}"}
        projects = {
            "bot": project_settings("bot", agent=settings),
            "cluster": project_settings("cluster", agent={**settings, "trusted_sources": [f"{CLUSTER}/32"]}),
        }
        acme = client_settings(NUMBERS["acme"], cxone.url, projects)
        limits = {"trusted_sources": ["127.0.0.1/32", "127.0.0.9/32"]}
        folder = tmp_path_factory.mktemp("sources")
        yield TwoSourceSite(stack.enter_context(base_site(folder, cxone, sip=limits, clients={"acme": acme})), agent)


class OtherSource:
    """A socket at another address, which sends what the far end could send."""

    def __init__(self, where: str, address: str) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.connect(address_of(where))
        self._socket.settimeout(SECONDS)
        self.address = "{}:{}".format(*self._socket.getsockname())

    def send_request(self, request: bytes) -> int:
        """Send a request; return the status of the response."""
        self._socket.send(request)
        return int(self._socket.recv(65_535).split()[1])

    def send(self, message: bytes) -> None:
        """Send a message that gets no response."""
        self._socket.send(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def request_in_agents_dialog(agent: RawAgent, other_source: OtherSource, method: str, number: int = 50) -> bytes:
    """A request that the agent could send, with its tags."""
    invite, ack = agent.received("INVITE")[-1], agent.received("ACK")[-1]
    target = re.findall(r"<([^>]*)>", invite.header("Contact"))[0]
    return (
        f"{method} {target} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {other_source.address};rport;branch=z9hG4bK-{method}-{number}\r\n"
        f"From: {ack.header('To')}\r\nTo: {ack.header('From')}\r\nCall-ID: {ack.header('Call-ID')}\r\n"
        f"CSeq: {number} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def response_to(request: Message, status: int) -> bytes:
    copied = "".join(f"{name}: {request.header(name)}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    return f"SIP/2.0 {status} So\r\n{copied}Content-Length: 0\r\n\r\n".encode()


def reliable_response_to(invite: Message, agent: RawAgent, number: int) -> bytes:
    """A provisional response that requires a PRACK (RFC 3262, 3)."""
    copied = "".join(f"{name}: {invite.header(name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
    return (
        f"SIP/2.0 183 So\r\n{copied}To: {invite.header('To')};tag=raw\r\nContact: <sip:raw@{agent.address}>\r\n"
        f"Require: 100rel\r\nRSeq: {number}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def test_another_source_gets_403_in_the_trunks_dialog(site: TwoSourceSite) -> None:
    counting = site.trunk.count()
    with site.talking() as call, OtherSource(site.trunk.bridge.sip, STRANGER) as stranger:
        for method in REQUESTS:
            assert (method, stranger.send_request(call.forged_request(method.encode(), 50))) == (method, 403)
        counting.grows_by(len(REQUESTS), STRANGERS)


def test_another_source_gets_403_in_an_agents_dialog(site: TwoSourceSite) -> None:
    counting = site.trunk.count()
    with site.talking(), OtherSource(site.trunk.bridge.sip, STRANGER) as stranger:
        for method in REQUESTS:
            assert (method, stranger.send_request(request_in_agents_dialog(site.agent, stranger, method))) == (
                method,
                403,
            )
        counting.grows_by(len(REQUESTS), STRANGERS)


def test_another_trusted_source_may_send_in_the_trunks_dialog_and_not_in_an_agents(site: TwoSourceSite) -> None:
    counting = site.trunk.count()
    with site.talking() as call, OtherSource(site.trunk.bridge.sip, "127.0.0.9") as other:
        assert other.send_request(request_in_agents_dialog(site.agent, other, "BYE")) == 403
        assert other.send_request(call.forged_request(b"OPTIONS", 2)) == 200
        counting.grows_by(1, STRANGERS)


def test_a_configured_source_may_send_in_an_agents_dialog(site: TwoSourceSite) -> None:
    site.agent.reset()
    call, _ = site.place("cluster")
    with call, OtherSource(site.trunk.bridge.sip, CLUSTER) as member:
        assert call.place().status == 200
        site.agent.wait_for("ACK")
        assert member.send_request(request_in_agents_dialog(site.agent, member, "BYE")) == 200
        call.next_request(b"BYE")


def test_a_strangers_cancel_and_ack_have_no_effect(site: TwoSourceSite) -> None:
    site.agent.reset()
    site.agent.respond = lambda message: (180, []) if message.method == "INVITE" else (200, [])
    call, _ = site.place()
    with call, OtherSource(site.trunk.bridge.sip, STRANGER) as stranger:
        call.invite()
        invite = site.agent.wait_for("INVITE")[0]
        counting = site.trunk.count()
        assert stranger.send_request(call.forged_request(b"CANCEL", 1)) == 403
        # Neither has a response to our INVITE that is not the agent's.
        stranger.send(response_to(invite, 603))
        counting.grows_by(2, STRANGERS)
        assert site.agent.received("CANCEL") == []
        site.agent.answer(invite)
        assert call.wait_for_answer() == 200
        stranger.send(call.forged_request(b"ACK", 1))
        counting.grows_by(3, STRANGERS)
        # The 200 is retransmitted: its ACK has not come.
        assert call.wait_for_answer() == 200
        call.acknowledge()
        call.end()


def test_a_strangers_response_to_our_bye_does_not_end_the_transaction(site: TwoSourceSite) -> None:
    site.agent.reset()
    call, _ = site.place()
    with call, OtherSource(site.trunk.bridge.sip, STRANGER) as stranger:
        assert call.place().status == 200
        site.agent.wait_for("ACK")
        site.agent.respond = lambda _: None
        counting = site.trunk.count()
        call.end()
        stranger.send(response_to(site.agent.wait_for("BYE")[0], 200))
        counting.grows_by(1, STRANGERS)
        # It is retransmitted until the agent itself responds (RFC 3261, 17.1.2.2).
        before = site.agent.retransmissions("BYE")
        wait_for(lambda: site.agent.retransmissions("BYE") > before, "a retransmission of BYE")
        site.agent.respond = lambda _: (200, [])


def test_an_agent_that_floods_its_dialog_with_requests_gets_503_and_the_call_goes_on(site: TwoSourceSite) -> None:
    with site.talking(), OtherSource(site.trunk.bridge.sip, site.agent.host) as agent:
        statuses = [
            agent.send_request(request_in_agents_dialog(site.agent, agent, "OPTIONS", number))
            for number in range(50, 350)
        ]
        assert statuses[:100] == [200] * 100
        assert 503 in statuses


def test_an_agent_that_floods_its_dialog_with_reliable_responses_gets_few_pracks_and_the_call_goes_on(
    site: TwoSourceSite,
) -> None:
    site.agent.reset()
    site.agent.respond = lambda message: None if message.method == "INVITE" else (200, [])
    call, _ = site.place()
    with call, OtherSource(site.trunk.bridge.sip, site.agent.host) as agent:
        call.invite()
        invite = site.agent.wait_for("INVITE")[0]
        began = time.monotonic()
        for number in range(1, 1001):
            agent.send(reliable_response_to(invite, site.agent, number))
            time.sleep(0.001)
        site.agent.answer(invite)
        assert call.wait_for_answer() == 200
        call.acknowledge()
        site.agent.wait_for("ACK")
        # The bucket has 100 and regains 20 at the beginning of each second.
        allowed = 100 + 20 * (int(time.monotonic() - began) + 1)
        assert 100 <= len(site.agent.received("PRACK")) <= allowed
        # The bucket may be empty, and a BYE is never limited.
        call.end()
    site.agent.wait_for("BYE")
