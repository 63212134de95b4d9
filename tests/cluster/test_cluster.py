"""A node among others, turn by turn: what a rescue and a pause do to it."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster import Cluster
from sipbridge.cluster.cluster import RESCUE_KNOWN_SECONDS
from sipbridge.cluster.lease import LeaseState
from sipbridge.errors import NodeTakenOver
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from tests.cluster.nodes import LEASE, Controls, Time, until
from tests.harness.programs.redis import RedisServer
from tests.store.records import make_record


async def test_a_rescued_node_ends_its_calls_and_begins_another_epoch(node: Cluster, own_redis: RedisServer) -> None:
    controls, epoch = Controls(), node.lease.epoch
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    await node.turn(controls)
    assert controls.obstacle() is None
    controls.begin("call-1")
    controls.chats = 1
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    await node.turn(controls)
    assert controls.ended == ["call-1"]
    assert controls.obstacle() == "another node has taken over the calls and chats of this one"
    assert not node.may_relay()
    assert node.may_be_rescued(), "it was"
    assert await node.claims.claim(make_record("call-1")) is SignalResult.UNDELIVERED
    assert "call-1" not in node.open_calls
    await node.turn(controls)
    assert node.lease.epoch == epoch, "a call still ends"
    controls.end("call-1")
    await node.turn(controls)
    assert node.lease.epoch == epoch, "a chat still ends"
    controls.chats = 0
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.HELD, None)
    assert node.lease.epoch != epoch
    assert node.may_relay()
    assert await node.claims.claim(make_record("call-2")) is None


async def test_a_call_that_comes_in_after_the_rescue_is_ended_too(node: Cluster, own_redis: RedisServer) -> None:
    controls, epoch = Controls("call-1"), node.lease.epoch
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    with pytest.raises(NodeTakenOver):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-0"), {})))
    await node.turn(controls)
    controls.ended = []
    await node.turn(controls)
    assert controls.ended == ["call-1"]
    own_redis.kill()
    with pytest.raises(NodeTakenOver):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-2"), {})))
    own_redis.start()
    controls.end("call-1")
    await node.turn(controls)
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-3"), {})))
    assert own_redis.run("EXISTS", keys.OPEN_CALLS + epoch) == 0
    assert own_redis.run("HKEYS", keys.OPEN_CALLS + node.lease.epoch) == ["call-3"]


async def test_a_node_remembers_its_rescue_for_a_minute(node: Cluster, own_redis: RedisServer, clock: Time) -> None:
    controls, epoch = Controls(), node.lease.epoch
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    await node.turn(controls)
    await node.turn(controls)
    assert (node.lease.state, node.may_be_rescued()) == (LeaseState.HELD, True)
    assert node.lease.epoch != epoch
    clock.now += RESCUE_KNOWN_SECONDS
    await node.turn(controls)
    assert not node.may_be_rescued()


async def test_a_call_that_redis_never_had_goes_on_with_the_next_epoch(node: Cluster, own_redis: RedisServer) -> None:
    controls, epoch = Controls("call-1", "call-2"), node.lease.epoch
    assert await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    own_redis.kill()
    assert not await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-2"), {})))
    own_redis.start()
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    async with asyncio.timeout(30):
        while not controls.ended:
            await node.turn(controls)
    assert controls.ended == ["call-1"]
    claim = asyncio.create_task(node.claims.claim(make_record("call-2")))
    await node.turn(controls)
    assert node.lease.epoch == epoch, "a call still ends"
    assert not claim.done(), "it waits for the next epoch"
    controls.end("call-1")
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.HELD, None)
    await until(lambda: own_redis.run("HKEYS", keys.OPEN_CALLS + node.lease.epoch) == ["call-2"])
    assert await claim is None


async def test_a_call_that_redis_never_had_waits_no_longer_than_a_lease(
    node: Cluster, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_redis.run("SET", keys.RESCUE + node.lease.epoch, "another")
    monkeypatch.setattr(node.lease, "seconds", 0.01)
    assert await node.claims.claim(make_record("call-1")) is SignalResult.UNDELIVERED


async def test_a_node_whose_monotonic_clock_stood_still_sends_nothing_before_its_next_renewal(
    node: Cluster, clock: Time
) -> None:
    await node.turn(Controls())
    assert node.may_relay()
    clock.set_ahead += LEASE  # the machine was paused, and its clock is set right
    assert not node.may_relay()
    await node.turn(Controls())
    assert node.may_relay()
    clock.set_ahead -= 10 * LEASE
    assert node.may_relay(), "the monotonic clock decides"
