"""A node writes again what Redis has lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipbridge.cluster import Cluster
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from tests.cluster.nodes import Controls, until
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.records import make_record


async def test_a_redis_that_lost_its_data_gets_node_and_calls_again(node: Cluster, own_redis: RedisServer) -> None:
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    own_redis.run("FLUSHALL")
    await node.turn(Controls())
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-2"), {})))
    assert set(own_redis.run("HKEYS", keys.OPEN_CALLS + node.lease.epoch)) == {"call-1", "call-2"}


async def test_calls_are_written_again_if_a_failover_has_brought_an_older_state_back(
    node: Cluster, own_redis: RedisServer, tmp_path: Path
) -> None:
    """The node follows the primary under one address, and the replica that becomes the primary has not all writes."""
    controls, open_calls = Controls(), keys.OPEN_CALLS + node.lease.epoch
    written_again: list[str] = []
    node.on_lost_writes(lambda: written_again.append("records"))
    for call_id in ("call-1", "call-2"):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record(call_id), {})))
    await node.turn(controls)
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replica.run("REPLICAOF", "127.0.0.1", own_redis.port)
        await until(lambda: replica.run("HLEN", open_calls) == 2)
        replica.run("REPLICAOF", "NO", "ONE")
        node.open_calls.remove("call-1")
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-3"), {})))
        await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-2", "call-3"})
        own_redis.run("REPLICAOF", "127.0.0.1", replica.port)
        await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-1", "call-2"})
        own_redis.run("REPLICAOF", "NO", "ONE")
    assert written_again == []
    await node.turn(controls)
    await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-2", "call-3"})
    assert written_again == ["records"]


async def test_a_redis_that_accepts_writes_without_its_replicas_is_logged_once(
    node: Cluster, own_redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await node.turn(Controls())
    assert not any("min-replicas-to-write" in line for line in caplog.messages)
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replica.run("REPLICAOF", "127.0.0.1", own_redis.port)
        await until(lambda: own_redis.info("replication")["connected_slaves"] == 1)
        for _ in range(2):
            await node.turn(Controls())
    assert len([line for line in caplog.messages if "min-replicas-to-write" in line]) == 1
