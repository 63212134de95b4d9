"""Records that Redis had, and has lost since: a failover brings an older state back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.calls.model import CallState
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.calls.backlog import Entry
from sipbridge.store.calls.rows import to_row
from sipbridge.store.redis import recent_puts
from sipbridge.store.redis.calls import RedisStore
from sipbridge.store.redis.recent_puts import KEPT_SECONDS, RecentPuts
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
    await store.put(make_record("call-3"))  # after the others
    assert [await state_of(store, each) for each in ("call-1", "call-2")] == [CallState.ENDED, CallState.ENDED]
    await asyncio.sleep(0)
    assert not settled.stands, "each put has returned before"


async def test_what_redis_has_is_neither_changed_nor_announced_again(server: RedisServer, store: RedisStore) -> None:
    await store.put(make_record("call-1", state=CallState.ENDED))
    before = server.run("HGETALL", CALL + "call-1"), server.run("KEYS", "*")
    (stream,) = [key for key in before[1] if server.run("TYPE", key) == "stream"]
    announced = server.run("XLEN", stream)
    store.write_again()
    await store.put(make_record("call-2"))
    assert server.run("HGETALL", CALL + "call-1") == before[0]
    assert server.run("XLEN", stream) == announced + 1


async def test_an_erased_call_is_not_written_again(server: RedisServer, store: RedisStore) -> None:
    await store.put(make_record("call-1", state=CallState.ENDED))
    assert await store.delete("acme", "billing", "call-1")
    server.run("FLUSHALL")
    store.write_again()
    await store.put(make_record("call-2"))
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


def entry(call_id: str, number: int = 1) -> Entry:
    return Entry(number, to_row(make_record(call_id), 0), [])


def numbers(puts: RecentPuts) -> list[tuple[str, int]]:
    return [(each.row.call_id, each.number) for each in puts.entries()]


def test_only_the_newest_put_of_a_call_is_kept() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1", 1), entry("call-2", 2), entry("call-1", 3)])
    assert numbers(puts) == [("call-2", 2), ("call-1", 3)]


def test_an_older_put_that_is_settled_late_replaces_none() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1", 3)])
    puts.add([entry("call-1", 2)])
    assert numbers(puts) == [("call-1", 3)]


def test_old_puts_are_forgotten_even_if_no_other_follows() -> None:
    now = [0.0]
    puts = RecentPuts(lambda: now[0])
    puts.add([entry("call-1")])
    now[0] += KEPT_SECONDS
    assert numbers(puts) == []


def test_old_puts_and_too_many_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    puts = RecentPuts(lambda: now[0])
    puts.add([entry("call-1")])
    now[0] += KEPT_SECONDS
    puts.add([entry("call-2"), entry("call-3")])
    assert numbers(puts) == [("call-2", 1), ("call-3", 1)]
    monkeypatch.setattr(recent_puts, "MAX_KEPT", 2)
    puts.add([entry("call-4")])
    assert numbers(puts) == [("call-3", 1), ("call-4", 1)]
