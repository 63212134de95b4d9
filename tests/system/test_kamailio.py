"""Calls through Kamailio, with the configuration that operators get, to two nodes on one Redis."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.programs.bridge import ENDED, Project
from tests.harness.programs.kamailio import ADDRESS, NODE_ADDRESS, NODES, PEERS, TRUNK, kamailio
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import token
from tests.harness.sip.raw_call import RawCall
from tests.harness.sip.raw_sender import Pinger
from tests.harness.sip.tls_caller import StreamCaller, TlsCaller, connect, offer
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .proxy_site import ProxySite, answer_seconds, proxy_site, refused, uri_of
from .site import NUMBERS, Contact, PlacedCall

UNKNOWN, PEER = "127.0.0.9", "127.0.0.3"
TAKEOVER_SECONDS = 60
NO_ACK_SECONDS = 75  # for the ACK, and then for the response to BYE: 32 s each (RFC 3261, 13.3.1.4 and 17.1.2.2)
PLAY_OUT_SECONDS = 30  # of the rest of a clip
SILENT_SECONDS = 4.0  # at most, for a call that goes to a silent node first
DRAINING_SECONDS = 0.05  # for one that goes to a draining node first
SELDOM = {"PROBE_SECONDS": "60"}  # the proxy learns of a node's state from its calls alone
FROM = b"From: <sip:raw@127.0.0.1>;tag=1\r\n"
FLOOD = 200
PATIENCE_SECONDS = 0.2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[ProxySite]:
    with proxy_site(tmp_path_factory.mktemp("proxy"), cxone) as running:
        yield running


@pytest.fixture
def proxied(shared: ProxySite) -> Iterator[ProxySite]:
    """The site that most tests share; no test leaves a call in progress, or a node out of the list."""
    yield shared
    shared.nodes[0].end_calls()
    shared.wait_until_idle()
    shared.proxy.wait_for_nodes(*shared.uris)


def call_each(site: ProxySite, project: str = "release") -> PlacedCall:
    """Place as many calls at once as there are nodes, so that each is the first choice for one."""
    return site.call(site.nodes[0].with_own_contacts("release"), project, calls=len(site.nodes))


def test_calls_are_spread_over_the_nodes(proxied: ProxySite) -> None:
    counts = [node.count() for node in proxied.nodes]
    call = proxied.call(proxied.nodes[0].with_own_contacts("release"), calls=4).wait_for_scenario()
    assert sorted(proxied.answered_by(call)) == [0, 0, 1, 1]
    for count in counts:
        count.grows_by(2, "sipbridge_calls_total", client="acme", project="release")
    for contact in call.contact.ids_of_calls(4):
        assert len(proxied.nodes[0].cxone.signals(contact, wait_for=1)) == 1
        assert call.project.ended_call(contact)["reason"] == "unconfirmed"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_transfer_passes_through_in_both_directions(proxied: ProxySite, transport: str) -> None:
    call = proxied.call("refer_ok", "refer", transport=transport).wait_for_scenario()
    assert proxied.proxy.address in call.sipp.received(200)[0].header("Record-Route")
    for method in ("REFER", "BYE"):
        (request,) = call.sipp.received(method)
        assert proxied.proxy.address in request.header("Via")
    assert call.record()["handoff"]["state"] == "handoff_completed"
    assert len(call.signals()) == 1


def test_a_call_of_a_node_to_a_desk_passes_through(proxied: ProxySite) -> None:
    desks = [node.desk("desk_answers") for node in proxied.nodes]
    call = call_each(proxied, "desk").wait_for_scenario()
    for desk, node in zip(desks, proxied.nodes, strict=True):
        (invite,) = desk.check().received("INVITE")
        assert node.bridge.sip in invite.header("Contact")
        assert proxied.proxy.address in invite.header("Via")
        assert proxied.proxy.address in invite.header("Record-Route")
    assert sorted(proxied.answered_by(call)) == [0, 1]


@pytest.mark.parametrize("scenario", ["hold_resume", "update", "info", "session_timer"])
def test_requests_of_the_trunk_within_a_call_reach_its_node(proxied: ProxySite, scenario: str) -> None:
    call = proxied.call(scenario, "waiting").wait_for_scenario()
    assert call.record()["reason"] == "caller_hung_up"


def test_a_reliable_provisional_response_passes_through(proxied: ProxySite) -> None:
    call = proxied.call("reliable_required").wait_for_scenario()
    assert call.record()["handoff"]["state"] == "handoff_completed"


@pytest.mark.parametrize("tls", [True, False])
def test_a_caller_over_a_connection_gets_bye_over_the_same_one(proxied: ProxySite, *, tls: bool) -> None:
    with _connection(proxied, tls=tls) as caller:
        _invite(caller, "release")
        assert proxied.proxy.address.partition(":")[0] in caller.answer("BYE").header("Via")


def test_a_caller_whose_connection_is_lost_gets_bye_at_its_contact(proxied: ProxySite) -> None:
    with socket.create_server((ADDRESS, 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        caller = StreamCaller(
            proxied.proxy.address, connect(proxied.proxy.address), f"sip:caller@{ADDRESS}:{port};transport=tcp"
        )
        with caller:
            caller_port = caller.socket.getsockname()[1]
            _invite(caller, "waiting")
        wait_for(lambda: str(caller_port) not in proxied.proxy.run("core.tcp_list"), "the end of the connection")
        connected = _accept_from(listener, ADDRESS)
        caller.reconnect(connected)
        with caller:
            caller.answer("BYE")


def test_the_list_of_nodes_is_read_again_and_calls_in_progress_go_on(proxied: ProxySite) -> None:
    first, second = proxied.uris
    placed = call_each(proxied, "waiting")
    wait_for(lambda: len(proxied.answered_by(placed)) == len(proxied.nodes), "both answers")
    proxied.proxy.set_nodes([second])
    proxied.proxy.run("dispatcher.reload")
    proxied.proxy.wait_for_nodes(second)
    try:
        assert set(proxied.answered_by(call_each(proxied).wait_for_scenario())) == {1}
        placed.wait_for_scenario()
        assert sorted(proxied.answered_by(placed)) == [0, 1]
    finally:
        proxied.proxy.set_nodes([first, second])
        wait_for(lambda: _reloaded(proxied), "another reload")


@pytest.mark.timeout(120)  # a call without an ACK
def test_a_silent_node_costs_a_call_two_seconds_and_gets_no_more_until_it_responds(proxied: ProxySite) -> None:
    with proxied.stopped(0):
        call = call_each(proxied).wait_for_scenario()
        assert proxied.answered_by(call) == [1, 1]
        assert max(answer_seconds(call)) < SILENT_SECONDS
        proxied.proxy.wait_for_nodes(proxied.uris[1])
    proxied.proxy.wait_for_nodes(*proxied.uris)
    # The node that stood still finds the INVITE in its socket. The proxy cancels it after the first response, or if it
    # has forgotten it by then, drops the response: no ACK comes, and the call ends.
    proxied.wait_until_idle(NO_ACK_SECONDS)
    contacts = call.contact.ids_of_calls(2)
    assert [len(proxied.nodes[0].cxone.signals(contact, wait_for=1)) for contact in contacts] == [1, 1]
    ends = [[each["reason"] for each in call.project.calls(contact)] for contact in contacts]
    assert [reasons.count("unconfirmed") for reasons in ends] == [1, 1]


def test_a_second_silent_node_gets_fewer_invites_than_the_first(proxied: ProxySite, tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        silent = [_bound_node(each) for each in (second, first)]  # the last one in the list gets the first call
        with kamailio(tmp_path / "kamailio", [proxied.uris[0], *silent], defines=SELDOM) as proxy:
            call = replace(proxied, proxy=proxy).call("release").wait_for_scenario()
            log = proxy.program.log.read_text()
        assert [len(_datagrams(each)) for each in (first, second)] == [3, 2]
    assert answer_seconds(call)[0] < SILENT_SECONDS
    for uri in silent:
        assert f"node {uri} is silent\n" in log
        assert f"node {uri} takes no calls\n" in log
    assert len(call.signals()) == 1


def test_an_unknown_source_is_rejected_and_then_ignored(proxied: ProxySite) -> None:
    with Pinger(proxied.proxy.address) as trunk, Pinger(proxied.proxy.address, UNKNOWN, PATIENCE_SECONDS) as unknown:
        assert trunk.response() == (200, "")
        assert unknown.response() == (403, "")
        assert _invite_from(proxied, UNKNOWN) == 403
        assert any(unknown.ping() is None for _ in range(FLOOD))
        assert unknown.ping() is None
        assert trunk.response() == (200, "")


@pytest.mark.timeout(180)  # a takeover
def test_a_node_killed_during_calls_has_them_saved_by_the_other(tmp_path: Path, cxone: Simulator) -> None:
    quick = {"node": {"lease_seconds": 2}}
    with proxy_site(tmp_path, cxone, quick, quick) as site:
        placed = call_each(site, "lasting")
        contacts = placed.contact.ids_of_calls(2)
        wait_for(lambda: len(site.answered_by(placed)) == len(contacts), "both answers")
        site.nodes[0].bridge.program.kill()
        again = call_each(site).wait_for_scenario()
        assert site.answered_by(again) == [1, 1]
        assert max(answer_seconds(again)) < SILENT_SECONDS
        project = site.nodes[1].bridge.project("acme", "lasting", "key-of-lasting")
        lost = wait_for(lambda: _ended(project, contacts), "the takeover", TAKEOVER_SECONDS)
        (kept,) = [contact for contact in contacts if contact != lost]
        assert project.ended_call(lost)["reason"] == "node_lost"
        _hang_up(site, project.live_call(kept))
        project.ended_call(kept, PLAY_OUT_SECONDS)
        assert [len(cxone.signals(each, wait_for=1)) for each in contacts] == [1, 1]


def test_a_draining_node_costs_a_call_no_time(tmp_path: Path, cxone: Simulator) -> None:
    draining = {"drain_seconds": 60, "http": {"admin": {"keys": ["key-of-the-operator"]}}}
    with proxy_site(tmp_path, cxone, draining, **SELDOM) as site:
        held = site.nodes[0].call("release", "lasting")
        held.wait_until_answered()
        site.nodes[0].bridge.program.terminate()
        site.nodes[0].bridge.wait_for_metric(1, "sipbridge_draining")
        seconds = []
        for _ in range(6):  # every other one goes to the draining node first
            call = site.call("release").wait_for_scenario()
            assert site.answered_by(call) == [1]
            seconds += answer_seconds(call)
        log = site.proxy.program.log.read_text()
        assert log.count(f"node {site.uris[0]} rejects it\n") == log.count(f"next node, {site.uris[1]}\n") == 3
        assert sorted(seconds)[len(seconds) // 2] < DRAINING_SECONDS


def test_the_proxy_sees_what_readyz_says(tmp_path: Path, cxone: Simulator) -> None:
    with proxy_site(tmp_path, cxone, {"sip": {"max_calls": 1}}) as site:
        first, second = site.nodes
        ready = f"{first.bridge.http}/readyz"
        held = first.call("release", "waiting")
        held.wait_until_answered()
        assert fetch(ready).status == 503
        site.proxy.wait_for_nodes(uri_of(second))
        held.wait_for_scenario()
        wait_for(lambda: fetch(ready).status == 200, "readiness")
        site.proxy.wait_for_nodes(*site.uris)


def test_without_a_node_the_trunk_gets_503(tmp_path: Path) -> None:
    with kamailio(tmp_path / "kamailio", [f"sip:{NODE_ADDRESS}:9"]) as proxy:
        proxy.wait_for_nodes()
        with Pinger(proxy.address) as trunk:
            assert trunk.response() == (503, "5")
        with RawCall(proxy.address, headers=FROM) as call:
            assert call.place().status == 503
            assert b"Retry-After: 5\r\n" in call.answer


def test_the_trunk_gets_503_above_its_rate(tmp_path: Path, cxone: Simulator) -> None:
    with proxy_site(tmp_path, cxone, CALLS_PER_SECOND="5") as site:
        call = site.call("over_rate", "lasting", calls=30).wait_for_scenario()
        rejected = refused(call)
        # All come within two seconds, as counted by a clock that is not ours.
        assert rejected.keys() == {503}
        assert 5 <= len(site.answered_by(call)) <= 15
        assert {each.header("Retry-After") for each in call.sipp.received(503)} == {"1"}


def test_other_peers_begin_no_calls_and_reach_nodes_only(tmp_path: Path) -> None:
    sources = {TRUNK: [ADDRESS], NODES: [NODE_ADDRESS], PEERS: [PEER]}
    with kamailio(tmp_path / "kamailio", [f"sip:{NODE_ADDRESS}:9"], sources=sources) as proxy:
        with RawCall(proxy.address, headers=FROM, local=PEER) as call:
            assert call.place().status == 403
        route = b"Route: <sip:%s;lr>\r\n" % proxy.address.encode()
        within = RawCall(proxy.address, headers=FROM + route, local=PEER, to=b"To: <sip:raw@127.0.0.1>;tag=2\r\n")
        with within as call, socket.socket(type=socket.SOCK_DGRAM) as node:
            node.bind((NODE_ADDRESS, 0))
            node.settimeout(10)
            assert call.altered_request_status(b"BYE", _to(b"sip:x@127.0.0.4:9")) == 403
            call.set_timeout(PATIENCE_SECONDS)
            assert call.altered_request_status(b"BYE", _to(b"sip:x@127.0.0.2:%d" % node.getsockname()[1])) == 0
            assert node.recv(65_535).startswith(b"BYE sip:x@127.0.0.2")


def test_homer_gets_a_copy_of_each_message(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as homer:
        homer.bind((ADDRESS, 0))
        homer.settimeout(10)
        address = f'"sip:{ADDRESS}:{homer.getsockname()[1]}"'
        with kamailio(tmp_path / "kamailio", [f"sip:{NODE_ADDRESS}:9"], defines={"HOMER": address}) as proxy:
            with Pinger(proxy.address) as trunk:
                trunk.response()
            copies = b""
            while b"OPTIONS sip:ping@" not in copies:
                copy = homer.recv(65_535)
                assert copy.startswith(b"HEP3")
                copies += copy


def _connection(site: ProxySite, *, tls: bool) -> StreamCaller:
    if not tls:
        return StreamCaller(site.proxy.address, connect(site.proxy.address))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.authority.file)
    return TlsCaller(site.proxy.tls_address, context)


def _invite(caller: StreamCaller, project: str) -> None:
    headers = {"X-Auth-Token": token(project), "X-InContact-ContactId": Contact.new().id}
    answer = caller.invite(NUMBERS["acme"], headers, offer(9))
    assert answer.status == 200, answer.text


def _accept_from(listener: socket.socket, host: str) -> socket.socket:
    """Return the next connection from a host; those of others are closed: PJSUA opens one to each Contact."""
    while True:
        connected, source = listener.accept()
        if source[0] == host:
            connected.settimeout(10)
            return connected
        connected.close()


def _ended(project: Project, contacts: list[str]) -> str | None:
    """Return the first of some contacts whose call has ended."""
    return next((each for each in contacts if any(call["state"] == ENDED for call in project.calls(each))), None)


def _hang_up(site: ProxySite, call_id: str) -> None:
    """Let the call's node send BYE, after its Signal."""
    api = site.nodes[1].bridge.project("acme", "lasting", "key-of-lasting")
    assert api.request(f"calls/{call_id}/hangup", "POST").status == 202


def _reloaded(site: ProxySite) -> bool:
    """Reload the list of nodes: it does so at most once in five seconds."""
    site.proxy.run("dispatcher.reload")
    return sorted(site.proxy.active_nodes()) == sorted(site.uris)


def _invite_from(site: ProxySite, source: str) -> int:
    with RawCall(site.proxy.address, headers=FROM, local=source) as call:
        return call.place().status


def _bound_node(peer: socket.socket) -> str:
    """Bind a socket to the address of the nodes; return its SIP URI."""
    peer.bind((NODE_ADDRESS, 0))
    return f"sip:{NODE_ADDRESS}:{peer.getsockname()[1]}"


def _datagrams(peer: socket.socket) -> list[bytes]:
    """Return what a socket has received."""
    peer.settimeout(0)
    received = []
    with suppress(BlockingIOError):
        while True:
            received.append(peer.recv(65_535))
    return received


def _to(target: bytes) -> Callable[[bytes], bytes]:
    """Return a change of a request: another Request-URI."""
    return lambda request: request.replace(b" sip:raw@127.0.0.1 SIP/2.0", b" " + target + b" SIP/2.0", 1)
