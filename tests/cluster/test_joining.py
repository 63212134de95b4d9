"""A node joins the others, unless it does not fit them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipbridge.cluster import Cluster
from sipbridge.cluster.lease import LeaseState
from sipbridge.errors import ConfigError
from sipbridge.store.redis import keys
from sipbridge.store.start_wait import StartWait
from tests.cluster.nodes import NoPath, PathTo, join, make_node
from tests.harness.programs.redis import RedisServer


@pytest.mark.parametrize("has_lease", [True, False])
async def test_a_node_whose_id_a_running_one_has_does_not_join(
    node: Cluster, own_redis: RedisServer, *, has_lease: bool
) -> None:
    """Also one that lost its lease just now: its calls would be recovered as those of a crash."""
    if not has_lease:
        own_redis.run("DEL", keys.LEASE + "node-a")
    second = make_node(own_redis, "node-a")
    path: Any = PathTo(node)
    with pytest.raises(ConfigError, match=r"^node\.id: is in use by the node at http://node-a; "):
        await second.join("http://second", path)
    await second.close()
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]


async def test_a_node_takes_the_place_of_one_that_crashed(node: Cluster, own_redis: RedisServer) -> None:
    second = make_node(own_redis, "node-a")
    await join(second)
    assert own_redis.run("HGET", keys.LEASE + "node-a", "epoch") == second.lease.epoch
    assert [former.epoch for former in second.fleet.former()] == [node.lease.epoch]
    await second.close()


async def test_nodes_that_do_not_share_the_secret_do_not_join(node: Cluster, own_redis: RedisServer) -> None:
    stranger = make_node(own_redis, "node-b", secret="another-secret-of-16")
    with pytest.raises(ConfigError, match=r"^http\.pop_link_secret: differs from that of node node-a; "):
        await join(stranger)
    await stranger.close()
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]


async def test_a_node_waits_with_its_start_for_a_redis_that_is_silent(
    node: Cluster, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    second = make_node(own_redis, "node-b")
    no_path: Any = NoPath()
    own_redis.pause()
    monkeypatch.setattr("sipbridge.cluster.lease.REDIS_SECONDS", 0.2)
    joining = asyncio.create_task(second.join("http://node-b", no_path, StartWait(60)))
    async with asyncio.timeout(30):
        while "the start waits" not in caplog.text:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
    monkeypatch.setattr("sipbridge.cluster.lease.REDIS_SECONDS", 30.0)
    own_redis.resume()
    await joining
    assert second.lease.state is LeaseState.HELD
    assert set(own_redis.run("HKEYS", keys.NODES)) == {node.lease.epoch, second.lease.epoch}
    await second.close()
