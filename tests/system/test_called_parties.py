"""SIP agents and desks that ask for credentials, redirect, or are found through DNS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness.ports import reserved_port
from tests.harness.programs.nameserver import Nameserver, nameserver
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, client_settings, project_settings, token
from tests.harness.sip.raw_agent import DigestAuthenticator, RawAgent
from tests.harness.sip.raw_call import RawCall
from tests.harness.waiting import wait_for

from .agent_site import is_listening
from .site import NUMBERS, Contact, Site, site

USER, PASSWORD = "bridge", "swordfish"
ANSWER_SECONDS = 2


class CalledParties:
    """Three agents, a name server that resolves them, and a bridge that calls them."""

    def __init__(self, agents: list[RawAgent], names: Nameserver, tcp_port: int) -> None:
        self.one, self.two, self.three = agents
        self.tcp_port = tcp_port
        self.names = names
        self.trunk: Site

    def reset(self) -> None:
        """Make all three answer, and forget what they received."""
        for agent in (self.one, self.two, self.three):
            agent.reset()

    def projects(self) -> dict[str, Settings]:
        secret = {"username": USER, "password": PASSWORD}
        one = f"sip:bot@{self.one.address}"
        desk = {"method": "invite", "uri": one, "answer_timeout_seconds": ANSWER_SECONDS}
        handing_off = {"type": "prompt", "then": "handoff"}
        return {
            "guarded": _project("guarded", one, **secret),
            "plain": _project("plain", one),
            "spare": _project("spare", [one, f"sip:bot@{self.two.address}"], **secret),
            "srv": _project("srv", "sip:bot@agents.test"),
            "naptr": _project("naptr", "sip:bot@pointed.test"),
            "several": _project("several", f"sip:bot@several.test:{self.one.port}"),
            "dead": _project("dead", f"sip:bot@dead.test:{self.one.port}"),
            "released": project_settings("released"),
            "pair": _project("pair", "sip:bot@pair.test"),
            "plain-desk": _with_routes(project_settings("plain-desk", desk, agent=handing_off)),
            "guarded-desk": project_settings("guarded-desk", {**desk, **secret}, agent=handing_off),
        }


def _project(name: str, uri: str | list[str], **agent: object) -> Settings:
    settings = project_settings(
        name,
        agent={"type": "sip", "uri": uri, "answer_timeout_seconds": ANSWER_SECONDS, **agent},
        on_agent_failure="reject",
    )
    return _with_routes(settings)


def _with_routes(settings: Settings) -> Settings:
    settings["handoff"]["allowed_routes"] = ["sip:*@127.0.0.2:*"]
    return settings


@pytest.fixture(scope="module")
def shared_parties(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[CalledParties]:
    with ExitStack() as stack:
        one = stack.enter_context(RawAgent("127.0.0.1"))
        two = stack.enter_context(RawAgent("127.0.0.2"))
        three = stack.enter_context(RawAgent("127.0.0.3", one.port))
        tcp_port = reserved_port()
        names = stack.enter_context(
            nameserver(
                {
                    "one.test": "127.0.0.1",
                    "two.test": "127.0.0.2",
                    "silent.test": "127.0.0.4",
                    "several.test": ["127.0.0.4", "127.0.0.3"],
                },
                silent={"dead.test"},
                services={
                    "_sip._udp.agents.test": [(20, 1, two.port, "two.test"), (10, 1, two.port, "silent.test")],
                    "_sip._udp.pair.test": [(1, 1, one.port, "one.test"), (2, 1, two.port, "two.test")],
                    "_sip._tcp.pointed-to.test": [(1, 1, tcp_port, "one.test")],
                },
                pointers={"pointed.test": [(1, 1, "SIP+D2T", "_sip._tcp.pointed-to.test")]},
            )
        )
        parties = CalledParties([one, two, three], names, tcp_port)
        acme = client_settings(NUMBERS["acme"], cxone.url, parties.projects())
        with site(tmp_path_factory.mktemp("parties"), cxone, nameserver=names, clients={"acme": acme}) as trunk:
            parties.trunk = trunk
            yield parties


@pytest.fixture
def parties(shared_parties: CalledParties) -> Iterator[CalledParties]:
    shared_parties.reset()
    yield shared_parties
    shared_parties.trunk.end_calls()
    shared_parties.trunk.bridge.wait_until_idle()


# ------------------------------------------------------------ credentials


@pytest.mark.parametrize(
    "authenticator",
    [
        DigestAuthenticator(USER, PASSWORD),
        DigestAuthenticator(USER, PASSWORD, status=407),
        DigestAuthenticator(USER, PASSWORD, algorithms="SHA-256 MD5"),
        DigestAuthenticator(USER, PASSWORD, algorithms="SHA-512-256"),
        DigestAuthenticator(USER, PASSWORD, uses=1),
    ],
    ids=["401", "407", "SHA-256", "SHA-512/256", "nonces for one request"],
)
def test_an_agent_that_challenges_gets_credentials_with_each_request(
    parties: CalledParties, authenticator: DigestAuthenticator
) -> None:
    parties.one.respond = authenticator
    parties.trunk.call("caller_hangs_up", "guarded").wait_for_scenario().record()
    first, second = parties.one.received("INVITE")
    assert int(second.header("CSeq").split()[0]) == int(first.header("CSeq").split()[0]) + 1
    bye = parties.one.wait_for("BYE", 2)[-1]
    assert "Authorization: Digest" in bye.text
    assert authenticator.refused == 0


@pytest.mark.parametrize(("project", "invites"), [("guarded", 2), ("plain", 1)])
def test_wrong_or_missing_credentials_are_rejected_once(parties: CalledParties, project: str, invites: int) -> None:
    parties.one.respond = DigestAuthenticator(USER, "another password")
    parties.trunk.call("agent_caller_480", project).wait_for_scenario().record()
    assert len(parties.one.received("INVITE")) == invites
    words = "check username and password" if project == "guarded" else "set username and password"
    assert PASSWORD not in parties.trunk.bridge.program.logged("SIP 401", words)


def test_an_agent_that_challenges_forever_is_given_up(parties: CalledParties) -> None:
    asked = itertools.count()
    parties.one.respond = lambda _: (401, [f'WWW-Authenticate: Digest realm="{next(asked)}", nonce="1", qop="auth"'])
    parties.trunk.call("agent_caller_480", "guarded").wait_for_scenario()
    assert len(parties.one.received("INVITE")) < 10


def test_the_next_uri_is_called_after_credentials_are_rejected(parties: CalledParties) -> None:
    parties.one.respond = DigestAuthenticator(USER, "another password")
    parties.trunk.call("caller_hangs_up", "spare").wait_for_scenario().record()
    assert len(parties.two.received("INVITE")) == 1


def test_a_desk_that_challenges_gets_credentials(parties: CalledParties) -> None:
    parties.one.respond = DigestAuthenticator(USER, PASSWORD)
    call = parties.trunk.call("caller_hangs_up", "guarded-desk", hold_seconds=0.3).wait_for_scenario()
    assert call.record()["handoff"]["transfer"] == "invite_answered"


# ------------------------------------------------------------ 3xx


def redirection(*contacts: str) -> list[str]:
    return [f"Contact: {contact}" for contact in contacts]


@pytest.mark.parametrize("project", ["plain", "plain-desk"])
def test_a_redirection_is_followed_to_the_best_allowed_contact(parties: CalledParties, project: str) -> None:
    best, worse = f"sip:best@{parties.two.address}", f"sip:worse@{parties.two.address}"
    parties.one.respond = lambda _: (
        302,
        redirection(
            f"<{worse}>;q=0.1", f'"Bot, A" <{best}?X-Evil=1>;q=0.8', "<sip:a@192.0.2.1>;q=0.9, <tel:+15550100>"
        ),
    )
    record = parties.trunk.call("caller_hangs_up", project, hold_seconds=0.2).wait_for_scenario().record()
    (invite,) = parties.two.received("INVITE")
    assert invite.start_line == f"INVITE {best} SIP/2.0"
    assert len(parties.one.received("INVITE")) == 1
    if project == "plain-desk":
        assert record["handoff"]["transfer"] == "invite_answered"


def test_a_second_redirection_counts_as_a_rejection(parties: CalledParties) -> None:
    parties.one.respond = lambda _: (302, redirection(f"<sip:other@{parties.two.address}>"))
    parties.two.respond = lambda _: (301, redirection(f"<sip:more@{parties.two.address}>"))
    parties.trunk.call("agent_caller_480", "plain").wait_for_scenario()
    assert [len(agent.received("INVITE")) for agent in (parties.one, parties.two)] == [1, 1]


@pytest.mark.parametrize("contacts", [[], ["<sip:bot@{three}>"], ["<sip:bot@{one}>"], ["*"]])
def test_a_redirection_to_an_address_that_is_not_allowed_counts_as_a_rejection(
    parties: CalledParties, contacts: list[str]
) -> None:
    places = {"one": parties.one.address, "three": parties.three.address}
    parties.one.respond = lambda _: (302, redirection(*(contact.format(**places) for contact in contacts)))
    parties.trunk.call("agent_caller_480", "plain").wait_for_scenario()
    assert len(parties.one.received("INVITE")) == 1
    assert parties.three.received("INVITE") == []


def test_credentials_are_not_sent_to_the_target_of_a_redirection(parties: CalledParties) -> None:
    parties.one.respond = lambda _: (302, redirection(f"<sip:bot@{parties.two.address}>"))
    parties.two.respond = DigestAuthenticator(USER, PASSWORD)
    parties.trunk.call("agent_caller_480", "guarded").wait_for_scenario()
    assert all("Authorization" not in message.text for message in parties.two.received("INVITE"))


# ------------------------------------------------------------ names


def test_srv_records_name_the_hosts_and_a_silent_host_costs_only_seconds(parties: CalledParties) -> None:
    began = time.monotonic()
    parties.trunk.call("caller_hangs_up", "srv").wait_for_scenario().record()
    assert time.monotonic() - began < ANSWER_SECONDS + 1
    (invite,) = parties.two.received("INVITE")
    assert invite.start_line == "INVITE sip:bot@agents.test SIP/2.0"


def test_a_dialog_stays_with_its_host_although_the_contact_is_the_name_of_all_hosts(parties: CalledParties) -> None:
    parties.two.contact = "agents.test"
    parties.trunk.call("caller_hangs_up", "srv").wait_for_scenario().record()
    parties.two.wait_for("ACK")
    parties.two.wait_for("BYE")


def test_the_next_host_is_called_if_one_responds_503(parties: CalledParties) -> None:
    parties.one.respond = lambda _: (503, [])
    parties.trunk.call("caller_hangs_up", "pair").wait_for_scenario().record()
    assert [len(agent.received("INVITE")) for agent in (parties.one, parties.two)] == [1, 1]


def test_naptr_records_choose_the_transport(parties: CalledParties) -> None:
    with Sipp(
        "agent_stays", parties.trunk.folder, port=parties.tcp_port, transport="tcp", options=call_options()
    ) as agent:
        wait_for(lambda: is_listening(agent.port), "SIPp to listen")
        parties.trunk.call("caller_hangs_up", "naptr").wait_for_scenario().record()
        (invite,) = agent.check().received("INVITE")
    assert invite.start_line == "INVITE sip:bot@pointed.test;transport=tcp SIP/2.0"
    assert "transport=tcp" in invite.header("Contact").lower()


def test_the_next_address_is_called_if_one_is_silent(parties: CalledParties) -> None:
    parties.trunk.call("caller_hangs_up", "several").wait_for_scenario().record()
    assert len(parties.three.received("INVITE")) == 1


def test_requests_go_to_the_host_in_the_contact(parties: CalledParties) -> None:
    """The far end's Contact is a name; each agent gets its BYE, the first one before its address is resolved."""
    parties.one.contact = f"one.test:{parties.one.port}"
    parties.trunk.call("caller_hangs_up", "plain").wait_for_scenario().record()
    parties.one.wait_for("ACK")
    parties.one.wait_for("BYE")


def test_our_bye_reaches_the_host_name_in_the_callers_contact_while_other_lookups_hang(parties: CalledParties) -> None:
    with ExitStack() as stack:
        for number in range(20):
            parties.names.silent.add(f"hanging-{number}.test")
            stack.enter_context(_from_trunk(parties, f"hanging-{number}.test")).place()
        caller = stack.enter_context(_from_trunk(parties, "two.test", local="127.0.0.2"))
        assert caller.place().status == 200
        caller.next_request(b"BYE")


def _from_trunk(parties: CalledParties, contact: str, local: str = "127.0.0.1") -> RawCall:
    lines = (
        "From: <sip:+15550100@127.0.0.1>;tag=named\r\n"
        f"X-Auth-Token: {token('released')}\r\nX-InContact-ContactId: {Contact.new().id}\r\n"
    )
    number = NUMBERS["acme"].encode()
    return RawCall(parties.trunk.bridge.sip, number, lines.encode(), contact.encode(), local)


def test_a_lookup_that_hangs_counts_against_the_agents_time_and_delays_no_other_call(parties: CalledParties) -> None:
    began = time.monotonic()
    stuck = [parties.trunk.call("agent_caller_480", "dead") for _ in range(8)]
    parties.trunk.call("caller_hangs_up", "several").wait_for_scenario()
    for call in stuck:
        call.wait_for_scenario()
    assert time.monotonic() - began < ANSWER_SECONDS + 2
