"""Signals without a claim: the rescuers of a node know of each, and signal none of these contacts."""

from __future__ import annotations

from typing import Any

import pytest

from sipbridge.cluster.fleet import Fleet, Listed, Renewal
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.secret import NodeSecret
from sipbridge.cluster.witnesses import Witnesses
from sipbridge.errors import HttpError
from sipbridge.http import Response
from sipbridge.http.node_headers import NODE, PROBE

SECRET = "shared-by-all-nodes"


class Network:
    """The HTTP client of all nodes, which reaches those in `nodes` by their URLs."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.sent: list[tuple[str, str]] = []

    async def request(self, _method: str, url: str, *, headers: dict[str, str], seconds: float) -> Response:  # noqa: ARG002 (as HttpClient has it)
        node = self.nodes.get(url.removesuffix("/healthz"))
        if node is None:
            raise HttpError("unreachable")
        self.sent.append((url, headers[PROBE]))
        response = node.witnesses.note(headers[PROBE])
        return Response(200, {NODE.lower().encode(): response} if response else {})


class Node:
    """A node of several."""

    def __init__(self, name: str, network: Network, secret: str = SECRET) -> None:
        nothing: Any = None
        http: Any = network
        self.lease = Lease(nothing, name, 15)
        self.url = f"http://{name}"
        self.fleet = Fleet(name, 15)
        self.witnesses = Witnesses(self.lease, self.fleet, NodeSecret(secret))
        self.witnesses.http = http
        network.nodes[self.url] = self

    @property
    def epoch(self) -> str:
        return self.lease.epoch

    def sees(self, *others: Node) -> None:
        listed = [Listed(other.epoch, other.lease.node_id, other.url) for other in others]
        self.fleet.renewed(Renewal(self.epoch, listed, {}), 1.0, 1.0)


@pytest.fixture
def network() -> Network:
    return Network()


def three(network: Network, secret_of_last: str = SECRET) -> tuple[Node, Node, Node]:
    """Return nodes that see each other."""
    first, second, third = Node("first", network), Node("second", network), Node("third", network, secret_of_last)
    first.sees(second, third)
    second.sees(first, third)
    third.sees(first, second)
    return first, second, third


async def test_all_rescuers_know_of_a_signal_before_it_is_sent(network: Network) -> None:
    first, second, third = three(network)
    assert await first.witnesses.notify("call-1")
    assert await first.witnesses.notify("call-2")
    assert second.witnesses.take(first.epoch) == third.witnesses.take(first.epoch) == {"call-1", "call-2"}
    assert second.witnesses.take(third.epoch) == set()


async def test_one_rescuer_that_is_not_reached_is_enough_to_send_none(network: Network) -> None:
    first, _, third = three(network)
    del network.nodes[third.url]
    assert not await first.witnesses.notify("call-1")


async def test_a_rescuer_that_has_begun_notes_nothing_more(network: Network) -> None:
    first, second, _ = three(network)
    assert second.witnesses.take(first.epoch) == set()
    assert not await first.witnesses.notify("call-1")


async def test_a_rescuer_that_the_node_does_not_know_of_prevents_the_signal(network: Network) -> None:
    first, second, third = three(network)
    fourth = Node("fourth", network)
    second.sees(first, third, fourth)
    assert not await first.witnesses.notify("call-1")


async def test_a_node_without_others_needs_no_witness(network: Network) -> None:
    alone = Node("alone", network)
    alone.sees()
    assert await alone.witnesses.notify("call-1")


async def test_an_earlier_run_of_the_same_node_is_not_asked(network: Network) -> None:
    first, second = Node("first", network), Node("second", network)
    former = Node("first", network)
    del network.nodes[former.url]
    network.nodes[first.url] = first
    first.sees(second, former)
    second.sees(first, former)
    assert await first.witnesses.notify("call-1")
    assert [url for url, _ in network.sent] == ["http://second/healthz"]


async def test_what_no_node_has_signed_is_not_noted(network: Network) -> None:
    first, second, third = three(network, secret_of_last="another-secret")
    assert not await third.witnesses.notify("call-1")
    assert await first.witnesses.notify("call-1") is False, "the third one does not believe it"
    (message,) = [text for url, text in network.sent if url.startswith(second.url) and text.startswith(first.epoch)]
    assert second.witnesses.note(message.replace("call-1", "call-2")) is None
    assert second.witnesses.note("nonsense") is None
    assert second.witnesses.take(third.epoch) == set()


async def test_a_node_that_has_left_is_forgotten(network: Network) -> None:
    first, second, third = three(network)
    assert await first.witnesses.notify("call-1")
    second.sees(third)
    third.sees(second)
    assert await third.witnesses.notify("call-2")
    assert second.witnesses.take(first.epoch) == set()
