"""Records that Redis had, and has lost since: a failover brings an older state back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.calls.model import CallState
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.redis import call_writer
from sipbridge.store.redis.calls import RedisStore
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.conftest import patient_redis
from tests.store.records import Settled, make_record

CALL = "sipbridge:call:acme:billing:"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def settled() -> Settled:
    return Settled()


@pytest.fixture
async def store(server: RedisServer, settled: Settled, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
    patient_redis(monkeypatch)
    monkeypatch.setattr("sipbridge.store.calls.settling.SETTLED_DELAY_SECONDS", 0)
    opened = await RedisStore.open(RedisUrl.parse(server.url), retention=timedelta(hours=1), on_settled=settled)
    yield opened
    await opened.close()


async def state_of(store: RedisStore, call_id: str) -> CallState | None:
    record = await store.get("acme", "billing", call_id)
    return record.state if record else None


async def test_the_last_state_of_each_call_is_written_again(
    server: RedisServer, store: RedisStore, settled: Settled
) -> None:
    await store.put(make_record("call-1"))
    server.run("COPY", CALL + "call-1", "older")
    await store.put(make_record("call-1", state=CallState.ENDED))
    await store.put(make_record("call-2", state=CallState.ENDED))
    server.run("COPY", "older", CALL + "call-1", "REPLACE")
    server.run("DEL", CALL + "call-2")
    assert await state_of(store, "call-1") is CallState.TALKING
    store.write_again()
    await until_in_redis(server, "call-2")  # the last one
    assert [await state_of(store, each) for each in ("call-1", "call-2")] == [CallState.ENDED, CallState.ENDED]
    await asyncio.sleep(0)
    assert not settled.stands, "each put has returned before"


async def test_what_redis_has_is_neither_changed_nor_announced_again(server: RedisServer, store: RedisStore) -> None:
    await store.put(make_record("call-1", state=CallState.ENDED))
    before = server.run("HGETALL", CALL + "call-1"), server.run("KEYS", "*")
    (stream,) = [key for key in before[1] if server.run("TYPE", key) == "stream"]
    announced = server.run("XLEN", stream)
    await store.put(make_record("call-2"))
    store.write_again()
    await store.close()  # it writes what is left
    assert server.run("HGETALL", CALL + "call-1") == before[0]
    assert server.run("XLEN", stream) == announced + 1


async def test_an_erased_call_is_not_written_again(server: RedisServer, store: RedisStore) -> None:
    await store.put(make_record("call-1", state=CallState.ENDED))
    assert await store.delete("acme", "billing", "call-1")
    await store.put(make_record("call-2"))
    server.run("FLUSHALL")
    store.write_again()
    await until_in_redis(server, "call-2")
    assert await state_of(store, "call-1") is None


async def test_records_are_written_again_once_redis_is_back(server: RedisServer, store: RedisStore) -> None:
    await store.put(make_record("call-1", state=CallState.ENDED))
    server.run("DEL", CALL + "call-1")
    server.pause()
    store.write_again()
    server.resume()
    async with asyncio.timeout(30):
        while await state_of(store, "call-1") is None:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


async def test_a_put_of_this_moment_comes_before_those_that_are_written_again(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_writer, "ROWS", 3)
    names = [f"call-{number}" for number in range(10)]
    for name in names:
        await store.put(make_record(name))
    server.run("FLUSHALL")
    store.write_again()
    await store.put(make_record("new"))
    found = [name for name in names if server.run("EXISTS", CALL + name)]
    assert len(found) <= 2 * call_writer.ROWS, "it does not wait for all of them"
    await until_in_redis(server, names[-1])
    assert [name for name in (*names, "new") if server.run("EXISTS", CALL + name)] == [*names, "new"]


async def until_in_redis(server: RedisServer, *call_ids: str) -> None:
    async with asyncio.timeout(30):
        while not all(server.run("EXISTS", CALL + call_id) for call_id in call_ids):  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
