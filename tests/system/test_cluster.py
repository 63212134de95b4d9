"""Two bridges on one Redis: the callers of one that dies are saved by the other, each by one Signal."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.harness.ports import reserved_port
from tests.harness.programs.program import ProgramError
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for
from tests.harness.web.event_stream import EventStream
from tests.harness.web.http import fetch

from .site import PlacedCall, Site, site

CALLS = 5
LEASE_SECONDS = 2
# A dead node was silent for two lease times; then there is the turn that finds out, and a machine that may be busy.
TAKEOVER_SECONDS = 2 * LEASE_SECONDS + 20
EVENT_SECONDS = 20
# In which a test is quicker than the next renewal.
LONG_LEASE_SECONDS = 15
# In a test of a restart, which must come before the takeover on a busy machine, too.
RESTART_LEASE_SECONDS = 8
NODE_LOST = {"p1": "care", "p2": "10000002", "p3": "node_lost"}


@dataclass
class Nodes:
    """Two nodes, and the Redis that they share."""

    first: Site
    second: Site
    redis: RedisServer

    def calls(self) -> tuple[PlacedCall, list[str]]:
        """Place calls on the first node; return them and their contacts once they are answered."""
        counted = self.first.count()
        placed = self.first.call(self.first.with_own_contacts("release"), "lasting", calls=CALLS)
        counted.grows_by(CALLS, "sipbridge_setup_seconds_count")
        return placed, placed.contact.ids_of_calls(CALLS)

    @contextmanager
    def takeover(self) -> Iterator[None]:
        """Wait at the end of the block until the second node has taken over the first one once more."""
        second = self.second.bridge
        before = second.metrics()
        yield
        wait_for(
            lambda: second.metrics().since(before, "sipbridge_node_takeovers_total") == 1, "takeover", TAKEOVER_SECONDS
        )

    def signals(self, contacts: list[str]) -> list[list[dict[str, str]]]:
        """Return the Signals of each contact."""
        cxone = self.first.cxone
        return [[each["parameters"] for each in cxone.signals(contact)] for contact in contacts]

    def reason_of(self, contact: str) -> tuple[str, str, str]:
        """Return the state, the result and the reason of a call, as the second node shows them."""
        record = self.second.bridge.project("acme", "lasting", "key-of-lasting").ended_call(contact)
        return record["state"], record["result"], record["reason"]


@pytest.fixture
def nodes(request: pytest.FixtureRequest, tmp_path: Path, cxone: Simulator) -> Iterator[Nodes]:
    lease_seconds = getattr(request, "param", LEASE_SECONDS)
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path))
        sites = []
        for name in ("node-1", "node-2"):
            folder = tmp_path / name
            folder.mkdir()
            settings = on_redis(redis.url, name, lease_seconds=lease_seconds)
            settings["store"]["journal"] = str(folder / "journal")
            sites.append(stack.enter_context(site(folder, cxone, **settings)))
        both = Nodes(sites[0], sites[1], redis)
        wait_for(lambda: redis.run("HLEN", "sipbridge:nodes") == 2, "both nodes in Redis")
        yield both


def test_another_node_signals_each_contact_of_a_killed_one_once(nodes: Nodes) -> None:
    _, contacts = nodes.calls()
    with nodes.takeover():
        nodes.first.bridge.program.kill()
    assert nodes.signals(contacts) == [[NODE_LOST]] * CALLS
    assert {nodes.reason_of(contact) for contact in contacts} == {("ended", "success", "node_lost")}
    nodes.second.bridge.wait_for_metric(CALLS, "sipbridge_calls_recovered_total", client="acme", reason="accepted")
    assert nodes.redis.run("HLEN", "sipbridge:nodes") == 1


@pytest.mark.timeout(240)  # two takeovers
def test_a_node_that_stood_still_signals_no_contact_that_another_one_has(nodes: Nodes) -> None:
    first = nodes.first.bridge
    for rescues in (1, 2):  # the second time with another epoch
        placed, contacts = nodes.calls()
        with nodes.takeover():
            os.kill(first.program.pid, signal.SIGSTOP)
        os.kill(first.program.pid, signal.SIGCONT)
        first.wait_until_idle()
        placed.wait_for_scenario()
        assert nodes.signals(contacts) == [[NODE_LOST]] * CALLS
        assert {nodes.reason_of(contact) for contact in contacts} == {("ended", "success", "node_lost")}
        ended = rescues * CALLS
        first.wait_for_metric(ended, "sipbridge_calls_total", client="acme", project="lasting", reason="taken_over")
        wait_for(lambda: nodes.redis.run("HLEN", "sipbridge:nodes") == 2, "both nodes in Redis")
    again = nodes.first.call("release")
    again.wait_for_scenario()
    assert len(again.signals()) == 1


def test_calls_wait_for_a_rescuer_that_has_their_project(nodes: Nodes) -> None:
    """The second node gets the configuration with the project after the first one has died."""
    second, whole = nodes.second, nodes.second.settings()
    reduced = nodes.second.settings()
    del reduced["clients"]["acme"]["projects"]["lasting"]
    second.reload(yaml.safe_dump(reduced))
    _, contacts = nodes.calls()
    epoch = nodes.redis.run("HGET", "sipbridge:node:node-1", "epoch")
    with nodes.takeover():
        nodes.first.bridge.program.kill()
        second.bridge.program.logged("node_takeover_waits")
        assert nodes.redis.run("HLEN", f"sipbridge:open:{epoch}") == CALLS
        assert nodes.signals(contacts) == [[]] * CALLS
        second.reload(yaml.safe_dump(whole))
    assert nodes.signals(contacts) == [[NODE_LOST]] * CALLS
    assert {nodes.reason_of(contact) for contact in contacts} == {("ended", "success", "node_lost")}
    assert nodes.redis.run("KEYS", f"sipbridge:open*:{epoch}") == []


def test_calls_wait_for_a_rescuer_that_reaches_cxone(nodes: Nodes) -> None:
    """Only the second node is left, so it is the one that tries again."""
    second, whole, cut_off = nodes.second, nodes.second.settings(), nodes.second.settings()
    cut_off["clients"]["acme"]["cxone"]["issuer"] = f"http://127.0.0.1:{reserved_port()}"
    second.reload(yaml.safe_dump(cut_off))
    _, contacts = nodes.calls()
    epoch = nodes.redis.run("HGET", "sipbridge:node:node-1", "epoch")
    with nodes.takeover():
        nodes.first.bridge.program.kill()
        second.bridge.program.logged("node_takeover_waits")
        assert nodes.redis.run("HLEN", f"sipbridge:open:{epoch}") == CALLS
        wait_for(lambda: not nodes.redis.run("EXISTS", f"sipbridge:rescuer:{epoch}"), "a turn for another node")
        assert nodes.signals(contacts) == [[]] * CALLS
        second.reload(yaml.safe_dump(whole))
    assert nodes.signals(contacts) == [[NODE_LOST]] * CALLS
    assert {nodes.reason_of(contact) for contact in contacts} == {("ended", "success", "node_lost")}
    second.bridge.wait_for_metric(CALLS, "sipbridge_calls_recovered_total", client="acme", reason="accepted")


@pytest.mark.timeout(120)  # a renewal every 3 s
@pytest.mark.parametrize("nodes", [LONG_LEASE_SECONDS], indirect=True)
def test_a_call_that_comes_in_while_its_node_is_taken_over_is_rejected(nodes: Nodes) -> None:
    lease = "sipbridge:node:node-1"
    epoch, renewal = nodes.redis.run("HMGET", lease, "epoch", "renewal")
    wait_for(lambda: nodes.redis.run("HGET", lease, "renewal") != renewal, "a renewal")
    nodes.redis.run("SET", f"sipbridge:rescue:{epoch}", "another")
    call = nodes.first.call("draining", "lasting").wait_for_scenario()
    record = call.record()
    assert (record["state"], record["reason"], record["answered_at"]) == ("ended", "taken_over", None)
    assert call.signals() == []
    assert nodes.first.bridge.metrics().value("sipbridge_invites_total", code="503") == 1
    wait_for(lambda: nodes.redis.run("HGET", lease, "epoch") not in (None, epoch), "another epoch")
    assert nodes.redis.run("HLEN", f"sipbridge:open:{epoch}") == 0
    nodes.first.call("release").wait_for_scenario()


@pytest.mark.timeout(120)  # a takeover after a restart
@pytest.mark.parametrize("nodes", [RESTART_LEASE_SECONDS], indirect=True)
def test_a_killed_node_recovers_its_own_calls_if_it_comes_back_first(
    nodes: Nodes, tmp_path: Path, cxone: Simulator
) -> None:
    _, contacts = nodes.calls()
    nodes.first.bridge.program.kill()
    folder = tmp_path / "node-1"
    settings = on_redis(nodes.redis.url, "node-1", lease_seconds=RESTART_LEASE_SECONDS)
    settings["store"]["journal"] = str(folder / "journal")
    with site(folder, cxone, **settings) as again:
        again.bridge.program.logged("recovery_ended")
        assert nodes.signals(contacts) == [[NODE_LOST | {"p3": "bridge_restarted"}]] * CALLS
        wait_for(lambda: nodes.redis.run("HLEN", "sipbridge:nodes") == 2, "the end of the earlier run", 60)
        assert nodes.signals(contacts) == [[NODE_LOST | {"p3": "bridge_restarted"}]] * CALLS


@pytest.mark.parametrize(
    ("node", "secret", "problem"),
    [
        ("node-1", "shared-by-all-nodes", r"node\.id: is in use by the node at http://"),
        ("node-3", "another-secret-of-16", r"http\.pop_link_secret: differs from that of node node-[12]; "),
    ],
)
def test_a_node_that_does_not_fit_does_not_start(
    nodes: Nodes, tmp_path: Path, cxone: Simulator, node: str, secret: str, problem: str
) -> None:
    folder = tmp_path / "another"
    folder.mkdir()
    _, contacts = nodes.calls()
    settings = on_redis(nodes.redis.url, node)
    settings["http"]["pop_link_secret"] = secret
    settings["store"]["journal"] = str(folder / "journal")
    with pytest.raises(ProgramError, match=problem), site(folder, cxone, **settings):
        pass
    assert nodes.redis.run("HLEN", "sipbridge:nodes") == 2
    assert nodes.first.bridge.calls_in_progress() == CALLS
    assert nodes.signals(contacts) == [[]] * CALLS
    nodes.first.bridge.program.kill()  # its calls last


def test_a_request_that_claims_to_come_from_a_node_is_refused(nodes: Nodes) -> None:
    call = nodes.first.call("release", "lasting")
    call_id = call.wait_until_answered()
    listed = nodes.redis.run("HGETALL", "sipbridge:nodes")
    for epoch, node in itertools.product(listed, (nodes.first, nodes.second)):
        for hop in (epoch, f"{epoch} 0123456789abcdef", "", "\xff"):
            headers = {"x-api-key": "key-of-lasting", "X-Sipbridge-Forwarded": hop}
            url = f"{node.bridge.http}/v1/acme/lasting/calls/{call_id}/hangup"
            answer = fetch(url, "POST", headers=headers)
            assert (answer.status, b"is for requests between the bridges" in answer.body) == (400, True), hop
    assert nodes.second.bridge.project("acme", "lasting", "key-of-lasting").live_call(call.contact.id) == call_id
    nodes.first.bridge.program.kill()  # the call lasts


def test_a_node_that_stops_leaves_nothing_to_take_over(nodes: Nodes) -> None:
    call = nodes.first.call("release")
    call.wait_for_scenario()
    nodes.first.bridge.program.stop()
    assert nodes.redis.run("HLEN", "sipbridge:nodes") == 1
    assert nodes.redis.run("KEYS", "sipbridge:open:*") == []
    assert len(call.signals()) == 1


def test_any_node_passes_a_command_on_to_the_node_that_carries_the_call(nodes: Nodes) -> None:
    call = nodes.first.call("release", "lasting")
    call_id = call.wait_until_answered()
    other = nodes.second.bridge.project("acme", "lasting", "key-of-lasting")
    turn = {"role": "agent", "text": "One moment."}
    assert other.request(f"calls/{call_id}/turns", "POST", turn).status == 202
    shown = other.request(f"calls/{call_id}").json()
    assert (shown["state"], [each["text"] for each in shown["transcript"]]) == ("talking", ["One moment."])
    assert other.request(f"calls/{call_id}/handoff", "POST", {"reason": "asked"}).status == 202
    call.wait_for_scenario()
    assert [each["p3"] for each in call.signals()] == ["asked"]
    assert other.request(f"calls/{call_id}/hangup", "POST").status == 409
    assert other.request("calls/0123456789abcdef/hangup", "POST").status == 404
    wrong_key = nodes.second.bridge.project("acme", "lasting", "key-of-release")
    assert wrong_key.request(f"calls/{call_id}").status == 403


def test_any_node_lists_and_erases_the_calls_of_all(nodes: Nodes) -> None:
    first, second = (each.bridge.project("acme", "lasting", "key-of-lasting") for each in (nodes.first, nodes.second))
    call = nodes.first.call("release", "lasting")
    call_id = call.wait_until_answered()
    assert [each["id"] for each in second.calls(call.contact.id)] == [call_id]
    assert second.request(f"handoff_state?id={call_id}", "DELETE").status == 409
    assert second.request(f"handoff_state?shared_id={call.contact.id}", "DELETE").status == 409
    assert second.request(f"calls/{call_id}/handoff", "POST", {"reason": "asked"}).status == 202
    call.wait_for_scenario()
    assert second.ended_call(call.contact.id)["id"] == call_id
    nodes.first.bridge.wait_until_idle()
    assert second.request(f"handoff_state?shared_id={call.contact.id}", "DELETE").status == 204
    assert first.request(f"calls/{call_id}").status == 404
    assert (first.calls(call.contact.id), second.calls(call.contact.id)) == ([], [])


def test_a_command_for_a_node_that_does_not_respond_gets_503(nodes: Nodes) -> None:
    call = nodes.first.call("release", "lasting")
    call_id = call.wait_until_answered()
    nodes.first.bridge.program.kill()
    other = nodes.second.bridge.project("acme", "lasting", "key-of-lasting")
    refused = other.request(f"calls/{call_id}/hangup", "POST")
    assert (refused.status, refused.json()["code"]) == (503, "unavailable")
    # What became of the call is in the record after the takeover.
    assert other.ended_call(call.contact.id, TAKEOVER_SECONDS)["reason"] == "node_lost"
    assert other.request(f"calls/{call_id}/hangup", "POST").status == 409


def test_any_node_streams_the_events_of_all_and_resumes_the_stream_of_another(nodes: Nodes) -> None:
    first, second = (each.bridge.project("acme", "lasting", "key-of-lasting") for each in (nodes.first, nodes.second))
    with EventStream(f"{second.url}/events", "key-of-lasting") as stream:
        call = nodes.first.call("release", "lasting")
        call_id = call.wait_until_answered()
        seen = stream.until("call.answered", EVENT_SECONDS)
        last_id = stream.last_id
    assert [(each.name, each.data["id"]) for each in seen] == [("call.started", call_id), ("call.answered", call_id)]
    assert first.request(f"calls/{call_id}/handoff", "POST", {"reason": "asked"}).status == 202
    call.wait_for_scenario()  # while nothing reads
    with EventStream(f"{first.url}/events", "key-of-lasting", last_id) as stream:
        seen = stream.until("call.ended", EVENT_SECONDS)
    assert [each.name for each in seen] == ["handoff.started", "handoff.finished", "call.ended"]
    assert {each.data["id"] for each in seen} == {call_id}


def test_the_events_of_a_killed_nodes_calls_come_from_its_rescuer(nodes: Nodes) -> None:
    second = nodes.second.bridge.project("acme", "lasting", "key-of-lasting")
    with EventStream(f"{second.url}/events", "key-of-lasting") as stream:
        _, contacts = nodes.calls()
        seen = [event for _ in contacts for event in stream.until("call.answered", EVENT_SECONDS)]
        with nodes.takeover():
            nodes.first.bridge.program.kill()
        seen += [event for _ in contacts for event in stream.until("call.ended", EVENT_SECONDS)]
    for contact in contacts:
        names = [each.name for each in seen if each.data["contact_id"] == contact]
        assert names == ["call.started", "call.answered", "handoff.started", "handoff.finished", "call.ended"]
