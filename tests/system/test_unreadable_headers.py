"""Messages that PJSIP's parser cannot read in full: a header that is not needed is ignored, else the request fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import pytest

from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import client_settings, key, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.sip.raw_sender import RawSender, options
from tests.harness.sip.tls_caller import StreamCaller, connect

from .site import NUMBERS, Contact, Site, site

MANY = 40
# RFC 8898; RFC 3261, 25.1 (other-response) and 8.2.2: malformed headers that are not needed are ignored.
NEEDLESS = [
    "Authorization: Bearer abc.def",
    "Authorization: Basic dXNlcjpw",
    "Proxy-Authorization: NTLM x",
    "Allow: INVITE, BYE, " + ", ".join(f"M{each}" for each in range(MANY)),
    "k: " + ", ".join(f"e{each}" for each in range(MANY)),
    "Accept: application/sdp, " + ", ".join(f"a/b{each}" for each in range(MANY)),
    "Session-Expires: 1800;",
    "x: abc",
    "Session-Expires:",
    "Min-SE: abc",
    "Expires: 60;x=y",
    "Expires: Thu, 01 Dec 1994 16:00:00 GMT",
    "Min-Expires: x",
    "Retry-After: soon",
    "Event:",
    "Subscription-State: terminated;",
    "Route: junk",
    "WWW-Authenticate: Negotiate",
]
# Headers that a BYE does not need either.
NEEDED_BY_INVITE = [
    "Contact: junk",
    'm: <sip:a@b>;expires="x',
    "Record-Route: junk",
    "Max-Forwards: x",
    "Content-Type: junk",
    "no colon",
    "Bad Name: x",
    ": no name",
    "Require: " + ", ".join(f"e{each}" for each in range(MANY)),
]


def lines(*headers: str) -> bytes:
    return "".join(f"{each}\r\n" for each in headers).encode()


@dataclass(frozen=True)
class Caller:
    """Calls with a contact of their own, and further header lines in each of their requests."""

    site: Site
    project: str
    contact: Contact

    @classmethod
    def of(cls, site: Site, project: str = "waiting") -> Self:
        return cls(site, project, Contact.new())

    def call(self, *headers: str, alter: Callable[[bytes], bytes] = bytes) -> RawCall:
        own = (f"X-Auth-Token: {token(self.project)}", f"X-InContact-ContactId: {self.contact.id}")
        sender = lines("From: <sip:caller@127.0.0.1>;tag=1")
        return RawCall(self.site.bridge.sip, NUMBERS["acme"].encode(), sender + lines(*headers, *own), alter=alter)

    def record(self) -> dict[str, object]:
        return self.site.bridge.project("acme", self.project, key(self.project)).ended_call(self.contact.id)


# ---------------------------------------------------------------- the trunk


def test_a_call_with_a_malformed_header_that_is_not_needed_is_served(trunk: Site) -> None:
    for header in NEEDLESS:
        caller = Caller.of(trunk)
        with caller.call(header).place() as call:
            assert call.status == 200, header
            for method in (b"OPTIONS", b"INVITE", b"BYE"):
                assert call.request(method).startswith(b"SIP/2.0 200 "), (header, method)
        assert caller.record()["ended_by"] == "caller"


def test_a_bye_ends_its_call_in_spite_of_its_other_headers(trunk: Site) -> None:
    for header in NEEDED_BY_INVITE:
        caller = Caller.of(trunk)
        with caller.call().place() as call:
            assert call.status == 200
            assert call.request(b"BYE", headers=lines(header, *NEEDLESS)).startswith(b"SIP/2.0 200 "), header
        assert caller.record()["ended_by"] == "caller"


@pytest.mark.parametrize("name", [b"From", b"To"])
def test_a_bye_ends_its_call_although_only_the_tag_of_an_address_is_readable(trunk: Site, name: bytes) -> None:
    caller = Caller.of(trunk)
    with caller.call().place() as call:
        bye = call.request(b"BYE", alter=lambda text: re.sub(name + b": <[^>]*>", name + b": <sip:a b@c>", text))
        assert bye.split()[1] == b"200"
        assert name + b": <sip:a b@c>;tag=" in bye
    assert caller.record()["ended_by"] == "caller"


REFUSED = {
    "from": (rb"From: <[^>]*>", b"From: <sip:a|b^c@127.0.0.1>", 400, b"From cannot be read"),
    "to": (rb"To: <[^>]*>", b"To: <sip:a b@127.0.0.1>", 400, b"To cannot be read"),
    "sequence": (rb"CSeq: 1 ", b"CSeq: 2147483648 ", 400, b"CSeq cannot be read"),
    "hops": (rb"Max-Forwards: 70", b"Max-Forwards: x", 400, b"Max-Forwards cannot be read"),
    "contact": (rb"Contact: [^\r]*", b"Contact: junk", 400, b"Contact cannot be read"),
    "route set": (rb"Max-Forwards", b"Record-Route: junk\r\nMax-Forwards", 400, b"Record-Route cannot be read"),
    "content": (rb"Content-Type: [^\r]*", b"Content-Type: junk", 400, b"Content-Type cannot be read"),
    "no colon": (rb"Max-Forwards", b"no colon\r\nMax-Forwards", 400, b"a header line has no name"),
    "brackets": (rb"^INVITE (\S+)", rb"INVITE <\1>", 400, b"the Request-URI cannot be read"),
    "scheme": (rb"^INVITE \S+", b"INVITE http://127.0.0.1/", 416, b"another scheme"),
    "version": (rb" SIP/2\.0\r\n", b" SIP/3.0\r\n", 505, b"the version is not SIP/2.0"),
}


@pytest.mark.parametrize(("found", "written", "status", "warning"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_invite_is_rejected_and_counted(
    trunk: Site, found: bytes, written: bytes, status: int, warning: bytes
) -> None:
    count = trunk.count()
    sent: list[bytes] = []

    def alter(text: bytes) -> bytes:
        sent.append(re.sub(found, written, text, count=1))
        return sent[0]

    with Caller.of(trunk).call(alter=alter).place() as call:
        assert call.status == status
        assert re.search(rb"^Warning: 399 .*" + re.escape(warning), call.answer, re.MULTILINE)
        # RFC 3261, 8.2.6.2: copied from the request.
        for name in (b"From", b"CSeq"):
            as_sent = re.search(name + rb": [^\r]*\r\n", sent[0])
            assert as_sent is not None
            assert as_sent[0] in call.answer
    count.grows_by(1, "sipbridge_invites_total", code=str(status))


@pytest.mark.parametrize("version", [b"sip/2.0", b"Sip/2.0"])
def test_the_sip_version_may_be_in_lower_case(trunk: Site, version: bytes) -> None:
    text = options(("127.0.0.1", 9), f"case-{version.decode()[:3]}").replace(b" SIP/2.0\r\n", b" %s\r\n" % version)
    assert RawSender(trunk.bridge).final_statuses(text) == (200,)
    assert RawSender(trunk.bridge).final_statuses(text, over_tcp=True) == (200,)


def test_a_malformed_header_over_tcp_is_ignored_and_the_connection_stays_open(trunk: Site) -> None:
    with StreamCaller(trunk.bridge.sip_tcp, connect(trunk.bridge.sip_tcp)) as line:
        text = options(("127.0.0.1", 9), "over-tcp", transport="TCP")
        line.socket.sendall(text.replace(b"Max-Forwards: 70", b"Max-Forwards: x"))
        assert line.receive().status == 400
        assert line.options() == 200


def test_all_required_extensions_are_read(trunk: Site) -> None:
    required = ", ".join(["timer"] * MANY + ["unheard-of"])
    with Caller.of(trunk).call(f"Require: {required}").place() as call:
        assert call.status == 420
        assert b"\r\nUnsupported: unheard-of\r\n" in call.answer


def test_a_message_that_cannot_get_a_response_is_logged(trunk: Site) -> None:
    text = re.sub(rb"Call-ID: [^\r]*\r\n", b"", options(("127.0.0.1", 9), "nameless"))
    assert RawSender(trunk.bridge).final_statuses(text) == ()
    trunk.bridge.program.logged("unreadable SIP message from")


# ---------------------------------------------------------------- an agent

CHALLENGES = {
    "a bearer token before it": 'WWW-Authenticate: Bearer realm="r", scope="x"\r\nWWW-Authenticate: Digest {}\r\n',
    "another scheme after it": "WWW-Authenticate: Digest {}\r\nWWW-Authenticate: Negotiate\r\n",
    "one header for all": 'WWW-Authenticate: Basic realm="a, b", Digest {}, NTLM\r\n',
}


@dataclass(frozen=True)
class Agent:
    """A bridge whose agent these tests play."""

    site: Site
    port: int

    def phone(self) -> RawCall:
        return RawCall(self.site.bridge.sip, port=self.port)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Agent]:
    port = reserved_port()
    bot = {"type": "sip", "uri": f"sip:bot@127.0.0.1:{port}", "username": "bridge", "password": "swordfish"}
    settings = project_settings("bot", agent=bot, on_agent_failure="reject")
    settings["handoff"]["destinations"]["sales"] = {"skill": "10000003", "method": "release"}
    acme = client_settings(NUMBERS["acme"], cxone.url, {"bot": settings})
    with site(tmp_path_factory.mktemp("unreadable"), cxone, clients={"acme": acme}) as running:
        yield Agent(running, port)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (b"REFER", lines("Refer-To: <sip:sales@127.0.0.1>", *NEEDLESS)),
        (b"BYE", lines("X-Handoff-Destination: sales", *NEEDLESS, *NEEDED_BY_INVITE)),
    ],
    ids=["REFER", "BYE"],
)
def test_an_agents_handoff_is_carried_out_in_spite_of_its_other_headers(
    agent: Agent, method: bytes, headers: bytes
) -> None:
    caller = Caller.of(agent.site, "bot")
    with caller.call() as call, agent.phone() as phone:
        call.invite()
        phone.accept_invite(lines(*NEEDLESS))
        assert call.wait_for_answer() == 200
        call.acknowledge()
        assert phone.request(method, headers=headers).startswith(b"SIP/2.0 20")
        if method == b"REFER":
            phone.end()
        call.answer_bye()
    handoff = caller.record()["handoff"]
    assert isinstance(handoff, dict)
    assert (handoff["requested_by"], handoff["destination"]) == ("agent", "sales")


def test_a_cancel_ends_its_call_in_spite_of_its_other_headers(agent: Agent) -> None:
    with Caller.of(agent.site, "bot").call() as call, agent.phone() as phone:
        call.invite()
        ringing = phone.next_request(b"INVITE")
        assert call.cancel(lines(*NEEDLESS, *NEEDED_BY_INVITE)) == 200
        assert call.wait_for_answer() == 487
        call.acknowledge()
        phone.respond(ringing, b"480 Gone")
        phone.next_request(b"ACK")


@pytest.mark.parametrize("challenges", CHALLENGES.values(), ids=CHALLENGES)
def test_of_several_challenges_the_supported_one_is_met(agent: Agent, challenges: str) -> None:
    caller = Caller.of(agent.site, "bot")
    with caller.call() as call, agent.phone() as phone:
        call.invite()
        refused = phone.next_request(b"INVITE")
        phone.respond(refused, b"401 Unauthorized", challenges.format('realm="r", nonce="n", qop="auth"').encode())
        phone.accept_invite()
        assert b'\r\nAuthorization: Digest username="bridge", realm="r", nonce="n"' in phone.received[-2]
        assert call.wait_for_answer() == 200
        call.acknowledge()
        call.end()
        phone.answer_bye()
