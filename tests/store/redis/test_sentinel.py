"""The primary of a service is found by Sentinels, and the next one after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import ConfigError, StoreError
from sipbridge.store import open_store
from sipbridge.store.redis import call_writer
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.waiting import wait_for
from tests.store.conftest import patient_redis
from tests.store.records import make_record


@dataclass
class Service:
    """A primary, its replica, and the Sentinel that monitors them as `main`."""

    primary: RedisServer
    replica: RedisServer
    sentinel: RedisServer

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with ExitStack() as stack:
        primary, replica = (stack.enter_context(redis_server(_folder(tmp_path, name))) for name in ("first", "second"))
        replica.run("REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: replica.info("replication").get("master_link_status") == "up", "the replica's link")
        sentinel = stack.enter_context(redis_server(_folder(tmp_path, "sentinel"), sentinel=True))
        sentinel.run("SENTINEL", "MONITOR", "main", "127.0.0.1", primary.port, 1)
        sentinel.run("SENTINEL", "SET", "main", "down-after-milliseconds", 300, "failover-timeout", 5000)
        wait_for(lambda: sentinel.run("SENTINEL", "REPLICAS", "main"), "the Sentinel's view of the replica")
        yield Service(primary, replica, sentinel)


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


async def put_until_written(store: RecordStore, call_id: str) -> None:
    async with asyncio.timeout(40):
        while True:
            try:
                await store.put(make_record(call_id))
            except StoreError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_records_go_to_the_new_primary_after_a_failover(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient_redis(monkeypatch)
    monkeypatch.setattr("sipbridge.store.redis.calls.PUT_SECONDS", 0.3)
    monkeypatch.setattr(call_writer, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(call_writer, "RETRY_SECONDS", 0.1)
    store = await open_store(StoreConfig(url=service.url))
    await put_until_written(store, "before")
    wait_for(lambda: service.replica.run("EXISTS", "sipbridge:call:acme:billing:before"), "the record at the replica")
    service.primary.kill()
    await put_until_written(store, "after")
    await store.close()
    assert service.replica.run("ZRANGE", "sipbridge:calls:acme:billing", 0, -1) == ["after", "before"]
    service.primary.start()


async def test_an_unknown_service_is_refused(service: Service) -> None:
    with pytest.raises(ConfigError, match="has Sentinels that do not respond, or do not know this service"):
        await open_store(StoreConfig(url=service.url.replace("main", "other")))
