"""SIP agents and desks that ask for credentials, redirect, or are found through DNS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness.ports import kept_port
from tests.harness.programs.nameserver import Nameserver, nameserver
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, some_calls
from tests.harness.settings import Settings, client_settings, project_settings, token
from tests.harness.sip.raw_agent import Guard, RawAgent
from tests.harness.sip.raw_call import RawCall
from tests.harness.waiting import wait_for

from .agent_site import listens
from .site import NUMBERS, Contact, Site, site

USER, PASSWORD = "bridge", "swordfish"
ANSWER_SECONDS = 2


class Callees:
    """Three agents, a name server that resolves them, and a bridge that calls them."""

    def __init__(self, agents: list[RawAgent], names: Nameserver, tcp_port: int) -> None:
        self.one, self.two, self.three = agents
        self.tcp_port = tcp_port
        self.names = names
        self.trunk: Site

    def reset(self) -> None:
        """Make all three answer, and forget what they received."""
        for agent in (self.one, self.two, self.three):
            agent.forget()

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
def shared_callees(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Callees]:
    with ExitStack() as stack:
        one = stack.enter_context(RawAgent("127.0.0.1"))
        two = stack.enter_context(RawAgent("127.0.0.2"))
        three = stack.enter_context(RawAgent("127.0.0.3", one.port))
        tcp_port = kept_port()
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
        callees = Callees([one, two, three], names, tcp_port)
        acme = client_settings(NUMBERS["acme"], cxone.url, callees.projects())
        with site(tmp_path_factory.mktemp("callees"), cxone, names=names, clients={"acme": acme}) as trunk:
            callees.trunk = trunk
            yield callees


@pytest.fixture
def callees(shared_callees: Callees) -> Iterator[Callees]:
    shared_callees.reset()
    yield shared_callees
    shared_callees.trunk.end_calls()
    shared_callees.trunk.bridge.wait_for_metric(0, "sipbridge_calls_active")


# ------------------------------------------------------------ credentials


@pytest.mark.parametrize(
    "guard",
    [
        Guard(USER, PASSWORD),
        Guard(USER, PASSWORD, status=407),
        Guard(USER, PASSWORD, algorithms="SHA-256 MD5"),
        Guard(USER, PASSWORD, algorithms="SHA-512-256"),
        Guard(USER, PASSWORD, uses=1),
    ],
    ids=["401", "407", "SHA-256", "SHA-512/256", "nonces for one request"],
)
def test_an_agent_that_challenges_gets_credentials_with_each_request(callees: Callees, guard: Guard) -> None:
    callees.one.respond = guard
    callees.trunk.call("caller_hangs_up", "guarded").went_as_written().record()
    first, second = callees.one.received("INVITE")
    assert int(second.header("CSeq").split()[0]) == int(first.header("CSeq").split()[0]) + 1
    bye = callees.one.wait_for("BYE", 2)[-1]
    assert "Authorization: Digest" in bye.text
    assert guard.refused == 0


@pytest.mark.parametrize(("project", "invites"), [("guarded", 2), ("plain", 1)])
def test_wrong_or_missing_credentials_are_rejected_once(callees: Callees, project: str, invites: int) -> None:
    callees.one.respond = Guard(USER, "another password")
    callees.trunk.call("agent_caller_480", project).went_as_written().record()
    assert len(callees.one.received("INVITE")) == invites
    words = "check username and password" if project == "guarded" else "set username and password"
    log = callees.trunk.bridge.program.log
    wait_for(lambda: "SIP 401" in log.read_text() and words in log.read_text(), "the reason in the log")
    assert PASSWORD not in log.read_text()


def test_an_agent_that_challenges_forever_is_given_up(callees: Callees) -> None:
    asked = itertools.count()
    callees.one.respond = lambda _: (401, [f'WWW-Authenticate: Digest realm="{next(asked)}", nonce="1", qop="auth"'])
    callees.trunk.call("agent_caller_480", "guarded").went_as_written()
    assert len(callees.one.received("INVITE")) < 10


def test_the_next_uri_is_called_after_credentials_are_rejected(callees: Callees) -> None:
    callees.one.respond = Guard(USER, "another password")
    callees.trunk.call("caller_hangs_up", "spare").went_as_written().record()
    assert len(callees.two.received("INVITE")) == 1


def test_a_desk_that_challenges_gets_credentials(callees: Callees) -> None:
    callees.one.respond = Guard(USER, PASSWORD)
    call = callees.trunk.call("caller_hangs_up", "guarded-desk", hold_seconds=0.3).went_as_written()
    assert call.record()["handoff"]["transfer"] == "invite_answered"


# ------------------------------------------------------------ 3xx


def redirection(*contacts: str) -> list[str]:
    return [f"Contact: {contact}" for contact in contacts]


@pytest.mark.parametrize("project", ["plain", "plain-desk"])
def test_a_redirection_is_followed_to_the_best_allowed_contact(callees: Callees, project: str) -> None:
    best, worse = f"sip:best@{callees.two.address}", f"sip:worse@{callees.two.address}"
    callees.one.respond = lambda _: (
        302,
        redirection(
            f"<{worse}>;q=0.1", f'"Bot, A" <{best}?X-Evil=1>;q=0.8', "<sip:a@192.0.2.1>;q=0.9, <tel:+15550100>"
        ),
    )
    record = callees.trunk.call("caller_hangs_up", project, hold_seconds=0.2).went_as_written().record()
    (invite,) = callees.two.received("INVITE")
    assert invite.start_line == f"INVITE {best} SIP/2.0"
    assert len(callees.one.received("INVITE")) == 1
    if project == "plain-desk":
        assert record["handoff"]["transfer"] == "invite_answered"


def test_a_second_redirection_counts_as_a_rejection(callees: Callees) -> None:
    callees.one.respond = lambda _: (302, redirection(f"<sip:other@{callees.two.address}>"))
    callees.two.respond = lambda _: (301, redirection(f"<sip:more@{callees.two.address}>"))
    callees.trunk.call("agent_caller_480", "plain").went_as_written()
    assert [len(agent.received("INVITE")) for agent in (callees.one, callees.two)] == [1, 1]


@pytest.mark.parametrize("contacts", [[], ["<sip:bot@{three}>"], ["<sip:bot@{one}>"], ["*"]])
def test_a_redirection_to_an_address_that_is_not_allowed_counts_as_a_rejection(
    callees: Callees, contacts: list[str]
) -> None:
    places = {"one": callees.one.address, "three": callees.three.address}
    callees.one.respond = lambda _: (302, redirection(*(contact.format(**places) for contact in contacts)))
    callees.trunk.call("agent_caller_480", "plain").went_as_written()
    assert len(callees.one.received("INVITE")) == 1
    assert callees.three.received("INVITE") == []


def test_credentials_are_not_sent_to_the_target_of_a_redirection(callees: Callees) -> None:
    callees.one.respond = lambda _: (302, redirection(f"<sip:bot@{callees.two.address}>"))
    callees.two.respond = Guard(USER, PASSWORD)
    callees.trunk.call("agent_caller_480", "guarded").went_as_written()
    assert all("Authorization" not in message.text for message in callees.two.received("INVITE"))


# ------------------------------------------------------------ names


def test_srv_records_name_the_hosts_and_a_silent_host_costs_only_seconds(callees: Callees) -> None:
    began = time.monotonic()
    callees.trunk.call("caller_hangs_up", "srv").went_as_written().record()
    assert time.monotonic() - began < ANSWER_SECONDS + 1
    (invite,) = callees.two.received("INVITE")
    assert invite.start_line == "INVITE sip:bot@agents.test SIP/2.0"


def test_a_dialog_stays_with_its_host_although_the_contact_is_the_name_of_all_hosts(callees: Callees) -> None:
    callees.two.contact = "agents.test"
    callees.trunk.call("caller_hangs_up", "srv").went_as_written().record()
    callees.two.wait_for("ACK")
    callees.two.wait_for("BYE")


def test_the_next_host_is_called_if_one_responds_503(callees: Callees) -> None:
    callees.one.respond = lambda _: (503, [])
    callees.trunk.call("caller_hangs_up", "pair").went_as_written().record()
    assert [len(agent.received("INVITE")) for agent in (callees.one, callees.two)] == [1, 1]


def test_naptr_records_choose_the_transport(callees: Callees) -> None:
    with Sipp(
        "agent_stays", callees.trunk.folder, port=callees.tcp_port, transport="tcp", options=some_calls()
    ) as agent:
        wait_for(lambda: listens(agent.port), "SIPp to listen")
        callees.trunk.call("caller_hangs_up", "naptr").went_as_written().record()
        (invite,) = agent.check().received("INVITE")
    assert invite.start_line == "INVITE sip:bot@pointed.test;transport=tcp SIP/2.0"
    assert "transport=tcp" in invite.header("Contact").lower()


def test_the_next_address_is_called_if_one_is_silent(callees: Callees) -> None:
    callees.trunk.call("caller_hangs_up", "several").went_as_written().record()
    assert len(callees.three.received("INVITE")) == 1


def test_requests_go_to_the_host_in_the_contact(callees: Callees) -> None:
    """The far end's Contact is a name; each agent gets its BYE, the first one before its address is resolved."""
    callees.one.contact = f"one.test:{callees.one.port}"
    callees.trunk.call("caller_hangs_up", "plain").went_as_written().record()
    callees.one.wait_for("ACK")
    callees.one.wait_for("BYE")


def test_our_bye_reaches_the_host_name_in_the_callers_contact_while_other_lookups_hang(callees: Callees) -> None:
    with ExitStack() as stack:
        for number in range(20):
            callees.names.silent.add(f"hanging-{number}.test")
            stack.enter_context(_from_trunk(callees, f"hanging-{number}.test")).place()
        caller = stack.enter_context(_from_trunk(callees, "two.test", local="127.0.0.2"))
        assert caller.place().status == 200
        caller.take(b"BYE")


def _from_trunk(callees: Callees, contact: str, local: str = "127.0.0.1") -> RawCall:
    lines = (
        "From: <sip:+15550100@127.0.0.1>;tag=named\r\n"
        f"X-Auth-Token: {token('released')}\r\nX-InContact-ContactId: {Contact.new().id}\r\n"
    )
    number = NUMBERS["acme"].encode()
    return RawCall(callees.trunk.bridge.sip, number, lines.encode(), contact.encode(), local)


def test_a_lookup_that_hangs_counts_against_the_agents_time_and_delays_no_other_call(callees: Callees) -> None:
    began = time.monotonic()
    stuck = [callees.trunk.call("agent_caller_480", "dead") for _ in range(8)]
    callees.trunk.call("caller_hangs_up", "several").went_as_written()
    for call in stuck:
        call.went_as_written()
    assert time.monotonic() - began < ANSWER_SECONDS + 2
