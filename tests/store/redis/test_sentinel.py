"""The primary of a service is found by Sentinels, and the next one after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import ConfigError, StoreError
from sipbridge.store import open_store
from sipbridge.store.redis import call_writer
from tests.harness.programs.redis_service import RedisService, redis_service
from tests.harness.waiting import wait_for
from tests.store.conftest import patient_redis
from tests.store.records import make_record


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RedisService]:
    with redis_service(tmp_path, down_ms=300) as running:
        yield running


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
    service: RedisService, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient_redis(monkeypatch)
    monkeypatch.setattr("sipbridge.store.redis.calls.PUT_SECONDS", 0.3)
    monkeypatch.setattr(call_writer, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(call_writer, "RETRY_SECONDS", 0.1)
    store = await open_store(StoreConfig(url=service.url))
    await put_until_written(store, "before")
    first, second = service.servers
    wait_for(lambda: second.run("EXISTS", "sipbridge:call:acme:billing:before"), "the record at the replica")
    first.kill()
    await put_until_written(store, "after")
    await store.close()
    assert second.run("ZRANGE", "sipbridge:calls:acme:billing", 0, -1) == ["after", "before"]
    first.start()


async def test_an_unknown_service_is_refused(service: RedisService) -> None:
    with pytest.raises(ConfigError, match="has Sentinels that do not respond, or do not know this service"):
        await open_store(StoreConfig(url=service.url.replace("main", "other")))
