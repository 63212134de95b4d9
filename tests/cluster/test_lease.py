"""The lease of a node, and the end of an epoch that was rescued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sipbridge.cluster.fleet import Renewal, SeenLease
from sipbridge.cluster.lease import LONGEST_PAUSE_MS, Lease
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import END_RESCUE, Command
from sipbridge.store.redis.server import Server
from tests.harness.programs.redis import RedisServer


async def joined(server: Server, node_id: str = "node-a", seconds: float = 15) -> Lease:
    lease = Lease(server, node_id, seconds)
    await lease.join(f"http://{node_id}")
    return lease


async def test_a_lease_shows_the_node_and_ends_on_its_own(server: Server, redis: RedisServer) -> None:
    lease = await joined(server)
    await lease.renew({"calls": 3, "draining": 0})
    shown = redis.run("HGETALL", keys.LEASE + "node-a")
    assert {key: shown[key] for key in ("epoch", "url", "calls")} == {
        "epoch": lease.epoch,
        "url": "http://node-a",
        "calls": "3",
    }
    assert 14_000 < redis.run("PTTL", keys.LEASE + "node-a") <= 15_000
    assert lease.state.name == "HELD"


async def test_nodes_see_each_other_and_each_renewal(server: Server, redis: RedisServer) -> None:
    first, second = await joined(server), await joined(server, "node-b")
    seen, is_new = await first.renew({})
    (other,) = seen.others
    assert (other.epoch, other.id, other.url, is_new) == (second.epoch, "node-b", "http://node-b", False)
    assert seen.leases == {}
    before, _ = await first.renew({}, [other])
    await second.renew({"draining": 1})
    after, _ = await first.renew({}, [other])
    assert before.leases == {second.epoch: SeenLease("1")}
    assert after.leases == {second.epoch: SeenLease("2", drains=True)}
    redis.run("DEL", keys.LEASE + "node-b")
    assert await first.renew({}, [other]) == (after._replace(leases={second.epoch: None}), False)


async def test_a_node_knows_each_change_of_the_nodes(server: Server, redis: RedisServer) -> None:
    lease = await joined(server)
    for change in ("join", "leave", "join", "takeover", "loss"):
        if change == "join":
            other = await joined(server, "node-b")
        elif change == "leave":
            await other.leave()
        elif change == "takeover":
            redis.run("SET", keys.RESCUER + other.epoch, lease.epoch)
            await server.run(
                [END_RESCUE.command(_of_takeover(other.epoch), other.epoch, lease.epoch, 1000)], seconds=30
            )
        else:
            redis.run("FLUSHALL")
        seen, _ = await lease.renew({})
        assert [node.epoch for node in seen.others] == ([other.epoch] if change == "join" else [])


async def test_the_nodes_are_read_at_a_change_only(server: Server, redis: RedisServer) -> None:
    first, second = await joined(server), await joined(server, "node-b")
    seen, _ = await first.renew({})
    reads = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    for _ in range(3):
        await second.renew({})
        assert await first.renew({}) == (seen, False)
    assert redis.info("commandstats")["cmdstat_hgetall"]["calls"] == reads


def _of_takeover(epoch: str) -> list[str]:
    left = [prefix + epoch for prefix in (keys.OPEN_CALLS, keys.CHATS_OPEN, keys.CHATS_UNDELIVERED)]
    ended = [keys.OPEN_CALLS_WRITE + epoch, keys.UNCLAIMED + epoch]
    return [keys.RESCUER + epoch, keys.RESCUE + epoch, keys.NODES, keys.NODES_CHANGE, *left, *ended]


async def test_a_redis_that_lost_its_data_gets_the_node_again(server: Server, redis: RedisServer) -> None:
    lease = await joined(server)
    redis.run("FLUSHALL")
    assert await lease.renew({}) == (Renewal(lease.epoch, (), {}), True)
    assert redis.run("HEXISTS", keys.NODES, lease.epoch) == 1


class LosingNetwork:
    """Loses the response of the next request; the client then repeats it, or fails."""

    def __init__(self, server: Server) -> None:
        self.then: str | None = None
        self._server = server

    async def run(self, commands: Sequence[Command], *, seconds: float) -> list[Any]:
        results = await self._server.run(commands, seconds=seconds)
        then, self.then = self.then, None
        if then == "fail":
            raise StoreError("Redis has not responded")
        return await self._server.run(commands, seconds=seconds) if then == "repeat" else results


@pytest.mark.parametrize("then", ["fail", "repeat"])
async def test_a_redis_that_lost_its_data_is_noticed_even_if_a_response_is_lost(
    server: Server, redis: RedisServer, then: str
) -> None:
    network = LosingNetwork(server)
    lease = Lease(network, "node-a", 15)
    await lease.join("http://node-a")
    redis.run("FLUSHALL")
    network.then = then
    if then == "fail":
        with pytest.raises(StoreError):
            await lease.renew({})
        await joined(server, "node-b")
    assert (await lease.renew({}))[1]
    assert not (await lease.renew({}))[1]


async def test_an_epoch_that_was_rescued_never_has_a_lease_again(server: Server, redis: RedisServer) -> None:
    lease = await joined(server)
    redis.run("SET", keys.RESCUE + lease.epoch, "another")
    redis.run("DEL", keys.LEASE + "node-a", keys.NODES)
    await lease.renew({})
    assert lease.state.name == "RESCUED"
    redis.run("DEL", keys.RESCUE + lease.epoch)  # not even if Redis has lost the mark
    rescued = lease.epoch
    await lease.renew({})
    assert (lease.state.name, redis.run("HLEN", keys.NODES)) == ("RESCUED", 0)
    lease.begin_again()
    await lease.renew({})
    assert lease.state.name == "HELD"
    assert redis.run("HGET", keys.LEASE + "node-a", "epoch") == lease.epoch != rescued


async def test_a_node_does_not_take_the_lease_of_another_one_with_its_id(server: Server, redis: RedisServer) -> None:
    first = await joined(server)
    second = await joined(server)  # it has found that the first one does not respond
    await first.renew({})
    assert first.state.name == "DISPLACED"
    assert redis.run("HGET", keys.LEASE + "node-a", "epoch") == second.epoch
    await second.leave()
    await first.renew({})
    assert first.state.name == "HELD"


async def test_a_node_that_leaves_open_calls_remains_to_be_taken_over(server: Server, redis: RedisServer) -> None:
    idle, busy = await joined(server), await joined(server, "node-b")
    redis.run("HSET", keys.OPEN_CALLS + busy.epoch, "call-1", "{}")
    await idle.leave()
    await busy.leave()
    assert redis.run("HKEYS", keys.NODES) == [busy.epoch]
    assert redis.run("EXISTS", keys.LEASE + "node-a", keys.LEASE + "node-b") == 0


async def test_the_number_of_the_last_write_ends_with_a_node_that_has_left(server: Server, redis: RedisServer) -> None:
    node = await joined(server)
    redis.run("SET", keys.OPEN_CALLS_WRITE + node.epoch, 7)
    await node.leave()
    assert 0 < redis.run("PTTL", keys.OPEN_CALLS_WRITE + node.epoch) <= LONGEST_PAUSE_MS
