from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sipbridge.cluster import (
    Cluster,
    claims,
    cluster,
    lease,
    open_calls,
    replication,
    rescue_journal,
    takeover,
    witnesses,
)
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.redis.server import Server
from tests.cluster.nodes import Time, join, make_node
from tests.harness.programs.redis import RedisServer, redis_server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a Redis that is slow because the machine is busy."""
    for module in (claims, lease, open_calls, replication, rescue_journal, takeover, witnesses):
        for name in ("REDIS_SECONDS", "CLAIM_SECONDS", "BEGIN_SECONDS", "READ_SECONDS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 30.0)


@pytest.fixture
async def server(redis: RedisServer) -> AsyncIterator[Server]:
    opened = Server(RedisUrl.parse(redis.url))
    yield opened
    await opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(cluster, "time", clock)
    return clock


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def node(own_redis: RedisServer, clock: Time) -> AsyncIterator[Cluster]:  # noqa: ARG001 (before the node)
    made = make_node(own_redis)
    await join(made)
    yield made
    await made.close()
