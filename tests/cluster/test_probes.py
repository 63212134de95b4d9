"""The probes between nodes: each proves that one has heard the other."""

from __future__ import annotations

from typing import Any

import pytest

from sipbridge.cluster.fleet import RESCUERS, Fleet, Listed, Renewal
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.probes import Probes
from sipbridge.cluster.secret import NodeSecret
from sipbridge.http import Response
from sipbridge.http.node_headers import NODE, PROBE

SECRET = "shared-by-all-nodes"
LEASE = 15.0


class Clock:
    """The monotonic clock of both nodes."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Network:
    """The HTTP client of one node, connected to the other one."""

    def __init__(self) -> None:
        self.other: Node | None = None
        self.responds = True

    async def request(self, _method: str, _url: str, *, headers: dict[str, str], seconds: float) -> Response:  # noqa: ARG002 (as HttpClient has it)
        assert self.other is not None
        epoch = self.other.probes.respond(headers[PROBE])
        kept = {NODE.lower().encode(): epoch} if epoch else {}
        return Response(200 if self.responds else 503, kept)


class Node:
    """A node with one other."""

    def __init__(self, name: str, clock: Clock, secret: str = SECRET) -> None:
        nothing: Any = None
        self.network = Network()
        self.lease = Lease(nothing, name, LEASE)
        self.fleet = Fleet(name, LEASE)
        http: Any = self.network
        self.probes = Probes(http, self.lease, self.fleet, NodeSecret(secret), clock)
        self._clock = clock

    def sees(self, other: Node, *more: Listed) -> None:
        self.network.other = other
        others = [Listed(other.lease.epoch, other.lease.node_id, "http://other"), *more]
        self.fleet.renewed(Renewal(self.lease.epoch, others, {}), self._clock(), self._clock())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pair(clock: Clock, secret: str = SECRET) -> tuple[Node, Node]:
    first, second = Node("first", clock), Node("second", clock, secret)
    first.sees(second)
    second.sees(first)
    return first, second


async def test_a_node_is_vouched_for_once_the_other_says_that_it_had_a_response(clock: Clock) -> None:
    first, second = pair(clock)
    clock.now += LEASE
    first.sees(second)
    await first.probes.send()
    assert not second.fleet.cannot_be_rescued(clock()), "the other one has not confirmed the response yet"
    clock.now += 3
    await first.probes.send()
    assert second.fleet.cannot_be_rescued(clock() + LEASE - 3 - 0.1)
    assert not second.fleet.cannot_be_rescued(clock() + LEASE - 3)


async def test_a_probe_that_is_read_late_vouches_for_nothing(clock: Clock) -> None:
    """The process stood still, and finds the probe in the socket when it wakes up."""
    first, second = pair(clock)
    await first.probes.send()
    probe = first.probes._sign(second.lease.epoch)  # noqa: SLF001 (what it would send)
    clock.now += LEASE
    assert second.probes.respond(probe) is not None
    assert not second.fleet.cannot_be_rescued(clock())


@pytest.mark.parametrize(("others", "vouches"), [(RESCUERS, True), (RESCUERS + 1, False)])
async def test_a_node_that_can_be_rescued_itself_vouches_only_if_no_other_one_can_follow(
    clock: Clock, others: int, *, vouches: bool
) -> None:
    first, second = pair(clock)
    first.lease.epoch, second.lease.epoch = "b", "a"  # the first one watches the second one, as it follows it
    more = [Listed(f"{number}", f"node-{number}", "") for number in range(others - 1)]
    first.sees(second, *more)
    await first.probes.send()
    assert vouched(first, second), "it has just renewed its lease"
    clock.now += LEASE
    assert vouched(first, second) == vouches


def vouched(first: Node, second: Node) -> bool:
    """Return True if the next probe of the first node to the second one has a time."""
    return first.probes._sign(second.lease.epoch).split(" ")[2] != "-"  # noqa: SLF001 (what it would send)


async def test_a_node_whose_responses_are_lost_is_not_vouched_for(clock: Clock) -> None:
    first, second = pair(clock)
    first.network.responds = False
    clock.now += LEASE
    for _ in range(3):
        await first.probes.send()
        clock.now += 3
    assert not second.fleet.cannot_be_rescued(clock())


async def test_no_node_without_the_secret_can_vouch_for_a_node(clock: Clock) -> None:
    first, second = pair(clock, secret="another-secret-of-a-stranger")
    clock.now += LEASE
    for _ in range(2):
        await first.probes.send()
    assert not second.fleet.cannot_be_rescued(clock())
    assert not await first.probes.reach("http://other", second.lease.epoch)


@pytest.mark.parametrize("probe", ["", "a b c d", "a b - d e", "a b - d e f", "ü ü ü ü ü", "a \udcff - d e"])
async def test_a_probe_of_another_form_gets_no_epoch(clock: Clock, probe: str) -> None:
    _, second = pair(clock)
    assert second.probes.respond(probe) is None


async def test_another_run_at_the_same_address_is_not_the_node_that_was_asked(clock: Clock) -> None:
    first, second = pair(clock)
    asked = second.lease.epoch
    assert await first.probes.reach("http://other", asked)
    second.lease.begin_again()
    assert not await first.probes.reach("http://other", asked)
