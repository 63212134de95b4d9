from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sipbridge.doctor.finding import Level
from sipbridge.doctor.store import check_store
from tests.harness.ports import free_port
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.waiting import wait_for

from .conftest import MakeConfig


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give the disk this many free bytes."""
    return lambda size: monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))


@pytest.mark.parametrize(("size", "level", "text"), [(5 * 10**9, Level.OK, "5.0 GB"), (10**8, Level.WARNING, "0.1 GB")])
async def test_the_disk_of_a_database_has_space(
    make_config: MakeConfig, free: Callable[[int], None], size: int, level: Level, text: str
) -> None:
    free(size)
    found = await check_store(make_config())
    assert found.level is level
    assert f"{text} are free for " in found.text


NODE = ("store:\n", "node: {id: one}\n\nstore:\n")


async def test_redis_is_checked_as_at_the_start(make_config: MakeConfig, redis: RedisServer) -> None:
    config = make_config(("url: sqlite:///sipbridge.db", f"url: {redis.url}"), NODE)
    found = await check_store(config)
    assert (found.level, found.text) == (Level.OK, "Redis responds, and can be used")


async def test_a_redis_that_accepts_writes_without_its_replicas_is_a_warning(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path) as primary, redis_server(tmp_path / "replica") as replica:
        config = make_config(("url: sqlite:///sipbridge.db", f"url: {primary.url}"), NODE)
        replica.run("REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: primary.info("replication")["connected_slaves"] == 1, "the replica")
        found = await check_store(config)
        assert found.level is Level.WARNING
        assert "; set min-replicas-to-write 1 and min-replicas-max-lag 10 " in found.text
        primary.run("CONFIG", "SET", "min-replicas-to-write", 1)
        wait_for(lambda: primary.info("replication")["min_slaves_good_slaves"] == 1, "the replica's lag")
        assert (await check_store(config)).level is Level.OK


async def test_redis_that_does_not_run_is_a_fault(make_config: MakeConfig) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    found = await check_store(make_config(("url: sqlite:///sipbridge.db", f"url: {url}"), NODE))
    assert found.level is Level.FAULT
    assert "refuses connections; start it, or correct the address" in found.text
