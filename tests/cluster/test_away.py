"""A node without Redis: what it does while others see it, and when none does."""

from __future__ import annotations

from typing import Any

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster import Cluster
from sipbridge.cluster.lease import LeaseState
from sipbridge.store.journal import entries
from tests.cluster.nodes import LEASE, Controls, PathTo, Time, join, make_node, signal_for_a_rescuer
from tests.fakes import FakeCallJournal, Journal
from tests.harness.programs.redis import RedisServer
from tests.store.records import make_record


async def test_a_node_alone_takes_calls_and_signals_while_redis_is_away(
    node: Cluster, own_redis: RedisServer, clock: Time
) -> None:
    controls = Controls()
    record, journal = make_record("call-1"), node.journal(FakeCallJournal(Journal()))
    await journal.begin(record, {})
    own_redis.kill()
    clock.now += 10 * LEASE
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.AWAY, None)
    await journal.signalling(record)
    assert await node.claims.claim(record) is None
    assert await node.claims.claim(make_record("another")) is SignalResult.UNDELIVERED, "not a call of this node"
    assert not node.may_relay(), "a node that has just come may have its chats"
    own_redis.start()
    assert await signal_for_a_rescuer(own_redis, node.lease.epoch, "call-1") is SignalResult.UNKNOWN


@pytest.mark.parametrize(
    "change", [("CONFIG", "SET", "maxmemory", "1kb"), ("REPLICAOF", "127.0.0.1", "1")], ids=["full", "read-only"]
)
async def test_a_redis_that_refuses_writes_is_like_one_that_is_away(
    node: Cluster, own_redis: RedisServer, clock: Time, change: tuple[str, ...]
) -> None:
    controls = Controls()
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    own_redis.run(*change)
    clock.now += 10 * LEASE
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.AWAY, None)
    assert await node.claims.claim(make_record("call-1")) is None
    assert node.claims.counts.unclaimed == 1


async def test_a_node_that_nothing_sees_takes_no_calls_and_signals_no_contact(
    node: Cluster, own_redis: RedisServer, clock: Time
) -> None:
    other, controls = make_node(own_redis, "node-b"), Controls()
    await join(other)
    path: Any = PathTo(other)
    for call_id in ("call-1", "call-2"):
        node.open_calls.begin(entries.began(make_record(call_id), {}))
    await node.turn(controls)
    own_redis.kill()
    clock.now += LEASE - 1
    await node.turn(controls)
    assert controls.obstacle() is None
    assert await node.claims.claim(make_record("call-2")) is SignalResult.UNDELIVERED, "its rescuer cannot be told"
    node.witnesses.http = path
    assert await node.claims.claim(make_record("call-1")) is None
    assert other.witnesses.take(node.lease.epoch) == {"call-1"}
    assert node.may_relay()
    assert not node.may_be_rescued()
    clock.now += 1
    assert not node.may_relay(), "at once, as after a stop of the process"
    assert node.may_be_rescued()
    await node.turn(controls)
    assert controls.obstacle() == "neither Redis nor all nodes that watch it see this one"
    assert await node.claims.claim(make_record("call-1")) is SignalResult.UNDELIVERED
    own_redis.start()
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.HELD, None)
    await other.close()
