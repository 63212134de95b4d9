"""The ring of many nodes: who watches whom, how it closes up, and that no node signals while another may rescue it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sipbridge.cluster import fleet as fleet_module
from sipbridge.cluster.fleet import RESCUERS, Fleet, Listed, Renewal, SeenLease
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.probes import Probes
from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import HttpNotReached
from sipbridge.http import Response
from sipbridge.http.node_headers import NODE, PROBE

LEASE = 15
TURN = 3


class Node:
    """A node of the model. A cut-off one has no Redis; a dead one does nothing."""

    def __init__(self, ring: Ring, name: str) -> None:
        nothing: Any = None
        http: Any = self
        self.ring = ring
        self.name = name
        self.has_redis = True
        self.is_dead = False
        self.renewals = 0
        self.lease = Lease(nothing, name, LEASE)
        self.fleet = Fleet(name, LEASE)
        self.probes = Probes(http, self.lease, self.fleet, NodeSecret("shared-by-all-nodes"), lambda: float(ring.now))

    @property
    def epoch(self) -> str:
        return self.lease.epoch

    async def request(self, _method: str, url: str, *, headers: dict[str, str], seconds: float) -> Response:  # noqa: ARG002 (as HttpClient has it)
        asked = self.ring.nodes[url.removeprefix("http://").removesuffix("/healthz")]
        if asked.is_dead or frozenset((self.name, asked.name)) in self.ring.cut_links:
            raise HttpNotReached("no connection")
        response = asked.probes.respond(headers[PROBE])
        return Response(200, {NODE.lower().encode(): response} if response else {})


class Ring:
    """Nodes, their Redis, and the links between them. Time goes in seconds."""

    def __init__(self, size: int) -> None:
        self.now = 0
        self.nodes = {f"node-{number}": Node(self, f"node-{number}") for number in range(size)}
        self.cut_links: set[frozenset[str]] = set()
        self.listed = {node.epoch: Listed(node.epoch, node.name, f"http://{node.name}") for node in self.nodes.values()}
        self.leases: dict[str, tuple[int, SeenLease]] = {}  # by epoch, with the end
        self.rescued: set[str] = set()
        self.in_order = sorted(self.nodes.values(), key=lambda node: node.epoch)

    async def run(self, seconds: int) -> None:
        """Let all nodes take their turns, and check after each second that what was rescued sends no Signal."""
        for _ in range(seconds):
            for number, node in enumerate(self.in_order):
                if not node.is_dead and (self.now + number) % TURN == 0:
                    self._turn(node)
                    await node.probes.send()
            self._check()
            self.now += 1

    def cut(self, count: int) -> None:
        """Cut the first nodes in the ring off from Redis and from all others."""
        for node in self.in_order[:count]:
            node.has_redis = False
            self.cut_links |= {frozenset((node.name, other.name)) for other in self.in_order[count:]}

    def heal(self) -> None:
        """Connect all again."""
        self.cut_links.clear()
        for node in self.in_order:
            node.has_redis = True

    def _turn(self, node: Node) -> None:
        if not node.has_redis or node.epoch in self.rescued:
            return
        node.renewals += 1
        self.leases[node.epoch] = (self.now + LEASE, SeenLease(str(node.renewals)))
        wards = [ward.listed.epoch for ward in node.fleet.wards]
        leases = {epoch: self._lease(epoch) for epoch in wards}
        others = [other for other in self.listed.values() if other.epoch != node.epoch]
        node.fleet.renewed(Renewal(node.epoch, others, leases), self.now, self.now)
        for ward in node.fleet.dead(self.now):
            self.rescued.add(ward.listed.epoch)
            self.listed.pop(ward.listed.epoch, None)

    def _lease(self, epoch: str) -> SeenLease | None:
        ends_at, lease = self.leases.get(epoch, (0, SeenLease("")))
        return lease if ends_at > self.now else None

    def _check(self) -> None:
        for node in self.in_order:
            may_signal = not node.is_dead and node.fleet.cannot_be_rescued(self.now)
            assert not (may_signal and node.epoch in self.rescued), (
                f"{node.name} signals at {self.now} s, and its rescuer"
            )


async def test_each_node_is_watched_by_the_next_ones_only() -> None:
    ring = Ring(30)
    await ring.run(TURN)
    for at, node in enumerate(ring.in_order):
        before = [ring.in_order[at - distance].epoch for distance in range(1, RESCUERS + 1)]
        assert [ward.listed.epoch for ward in node.fleet.wards] == before


async def test_a_node_that_dies_with_all_its_rescuers_is_taken_over_once_the_ring_has_closed_up() -> None:
    ring = Ring(30)
    await ring.run(LEASE)
    for node in ring.in_order[3 : 3 + RESCUERS + 1]:
        node.is_dead = True
    await ring.run(2 * LEASE + 2 * TURN)
    assert len(ring.rescued) == RESCUERS, "all but the first one, which no node watches any more"
    await ring.run(2 * LEASE + 2 * TURN)
    assert len(ring.rescued) == RESCUERS + 1


async def test_all_nodes_signal_without_redis_while_they_see_each_other() -> None:
    ring = Ring(30)
    await ring.run(LEASE)
    for node in ring.in_order:
        node.has_redis = False
    await ring.run(20 * LEASE)
    assert all(node.fleet.cannot_be_rescued(ring.now) for node in ring.in_order)


@pytest.mark.parametrize("size", [3, RESCUERS + 1])
async def test_without_redis_a_small_ring_signals_again_once_a_cut_link_is_mended(size: int) -> None:
    ring = Ring(size)
    await ring.run(LEASE)
    for node in ring.in_order:
        node.has_redis = False
    ring.cut_links.add(frozenset(node.name for node in ring.in_order[:2]))
    await ring.run(4 * LEASE)
    signals = [node.fleet.cannot_be_rescued(ring.now) for node in ring.in_order]
    assert signals == [False, False] + [True] * (size - 2), "those behind the link do not, and the others do"
    ring.cut_links.clear()
    await ring.run(2 * TURN + 1)
    assert all(node.fleet.cannot_be_rescued(ring.now) for node in ring.in_order)


async def test_a_ring_in_which_others_could_follow_waits_for_redis_after_a_cut_link() -> None:
    ring = Ring(RESCUERS + 2)
    await ring.run(LEASE)
    for node in ring.in_order:
        node.has_redis = False
    ring.cut_links.add(frozenset(node.name for node in ring.in_order[:2]))
    await ring.run(8 * LEASE)
    ring.heal()
    for node in ring.in_order:
        node.has_redis = False
    await ring.run(4 * LEASE)
    assert not any(node.fleet.cannot_be_rescued(ring.now) for node in ring.in_order)
    ring.heal()
    await ring.run(TURN)
    assert all(node.fleet.cannot_be_rescued(ring.now) for node in ring.in_order)


async def test_a_node_does_not_signal_once_its_rescuers_can_be_rescued_themselves() -> None:
    """All see their neighbours in the ring, but those behind them would be rescued, and then close up to this one."""
    ring = Ring(30)
    await ring.run(LEASE)
    ring.cut(20)
    first = ring.in_order[0]
    await ring.run(2 * LEASE - TURN)
    assert first.fleet.cannot_be_rescued(ring.now)
    await ring.run(TURN * 5)
    assert not first.fleet.cannot_be_rescued(ring.now)
    assert first.epoch not in ring.rescued


async def test_a_node_that_joins_between_a_node_and_its_rescuers_ends_what_they_vouch_for() -> None:
    """The node without Redis does not see the new one, which could rescue it."""
    ring = Ring(3)
    await ring.run(LEASE)
    cut_off = ring.in_order[0]
    cut_off.has_redis = False
    await ring.run(2 * LEASE)
    assert cut_off.fleet.cannot_be_rescued(ring.now)
    ring.listed["new"] = Listed("new", "new", "")
    await ring.run(LEASE + 2 * TURN)
    assert not cut_off.fleet.cannot_be_rescued(ring.now)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("size", "rescuers"), [(16, 2), (7, 4), (5, 4)])
async def test_no_node_signals_while_another_one_rescues_it(
    monkeypatch: pytest.MonkeyPatch, seed: int, size: int, rescuers: int
) -> None:
    """Whatever breaks: links, ways to Redis, nodes, and both ways between two parts of the ring."""
    monkeypatch.setattr(fleet_module, "RESCUERS", rescuers)  # few, so that the ring closes up often
    chance = random.Random(seed)  # noqa: S311 (no secret)
    ring = Ring(size)
    await ring.run(LEASE)
    for _ in range(12):
        node, other = chance.sample(ring.in_order, 2)
        match chance.randrange(6):
            case 0:
                node.has_redis = not node.has_redis
            case 1:
                ring.cut_links ^= {frozenset((node.name, other.name))}
            case 2 | 3:
                ring.cut(chance.randrange(1, size))
            case 4:
                ring.heal()
            case _ if sum(each.is_dead for each in ring.in_order) < 3:
                node.is_dead = True
        await ring.run(chance.randrange(1, 6 * LEASE))
    assert ring.rescued, "the case tests nothing"
