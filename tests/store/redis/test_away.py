"""Redis away: calls do not wait for it, nothing is lost, and it gets everything in order when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sipbridge.calls.model import CallState
from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import StoreError
from sipbridge.store import open_store
from sipbridge.store.redis import call_writer, calls
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.conftest import patient_redis
from tests.store.records import Settled, make_handoff, make_record

PUT_SECONDS = 1.0  # more than usual, as the machine may be busy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def settled() -> Settled:
    return Settled()


@pytest.fixture
async def store(server: RedisServer, settled: Settled, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordStore]:
    patient_redis(monkeypatch)
    monkeypatch.setattr(calls, "PUT_SECONDS", PUT_SECONDS)
    monkeypatch.setattr(call_writer, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr("sipbridge.store.calls.settling.SETTLED_DELAY_SECONDS", 0)
    opened = await open_store(StoreConfig(url=server.url), on_settled=settled)
    yield opened
    await opened.close()


async def put_fails(store: RecordStore, call_id: str, **changes: Any) -> float:  # noqa: ANN401 (any field)
    """Put a record, which fails; return how long that took."""
    started_at = time.monotonic()
    with pytest.raises(StoreError):
        await store.put(make_record(call_id, **changes))
    return time.monotonic() - started_at


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not probe():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


def order_of_puts(server: RedisServer) -> list[str]:
    """Return the calls that Redis has, in the order of their last puts."""
    keys = server.run("KEYS", "sipbridge:call:*")
    revisions = {key.rpartition(":")[2]: int(server.run("HGET", key, "revision")) for key in keys}
    return sorted(revisions, key=revisions.__getitem__)


OUTAGES: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "paused": (RedisServer.pause, RedisServer.resume),
    "killed": (RedisServer.kill, RedisServer.start),
}
outages = pytest.mark.parametrize(("leave", "come_back"), OUTAGES.values(), ids=OUTAGES)


@outages
async def test_puts_wait_in_memory_and_are_written_in_order(
    server: RedisServer,
    store: RecordStore,
    settled: Settled,
    leave: Callable[[RedisServer], None],
    come_back: Callable[[RedisServer], None],
) -> None:
    await store.put(make_record("before"))
    leave(server)
    first = await put_fails(store, "finds out")
    others = [await put_fails(store, f"call-{n}", state=CallState.ENDED) for n in range(50)]
    assert first < PUT_SECONDS + 5
    assert sum(others) < 10, "a put does not wait for a Redis that is known to be away"
    assert store.waiting == 51
    assert (await store.get("acme", "billing", "call-3")) == make_record("call-3", state=CallState.ENDED)
    assert await store.get_shared("acme", "billing", "contact-1")
    come_back(server)
    await until(lambda: store.waiting == 0)
    assert [name for name in order_of_puts(server) if name != "before"] == [
        "finds out",
        *(f"call-{n}" for n in range(50)),
    ]
    await until(lambda: list(settled.stands.values()) == [True] * 50)
    await store.put(make_record("after"))


@outages
async def test_a_put_in_progress_does_not_wait(
    server: RedisServer,
    store: RecordStore,
    leave: Callable[[RedisServer], None],
    come_back: Callable[[RedisServer], None],
) -> None:
    leave(server)
    started_at = time.monotonic()
    puts = [asyncio.create_task(store.put(make_record(f"call-{n}"), urgent=n % 2 == 0)) for n in range(20)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert time.monotonic() - started_at < PUT_SECONDS + 5
    assert all(isinstance(result, StoreError) for result in results)
    come_back(server)
    await until(lambda: store.waiting == 0)


async def test_an_erasure_fails_while_redis_is_away(server: RedisServer, store: RecordStore) -> None:
    await store.put(make_record())
    server.kill()
    with pytest.raises(StoreError):
        await store.delete("acme", "billing", "call-1")
    with pytest.raises(StoreError):
        await store.get("acme", "billing", "call-1")
    server.start()


async def test_a_redis_that_refuses_writes_gets_them_later(server: RedisServer, store: RecordStore) -> None:
    server.run("CONFIG", "SET", "maxmemory", "1kb")
    with pytest.raises(StoreError, match=r"OOM|used memory"):
        await store.put(make_record())
    server.run("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: store.waiting == 0)
    assert order_of_puts(server) == ["call-1"]


async def test_a_lost_script_cache_costs_nothing(server: RedisServer, store: RecordStore) -> None:
    await store.put(make_record("a"))
    server.run("SCRIPT", "FLUSH")
    await store.put(make_record("b"))
    assert order_of_puts(server) == ["a", "b"]


async def test_closing_gives_up_and_logs_what_is_lost(
    server: RedisServer, store: RecordStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_writer, "CLOSE_SECONDS", 0.1)
    server.kill()
    await put_fails(store, "lost")
    await store.close()
    assert "records unwritten when the store closed: 1" in caplog.text
    server.start()


async def test_an_owner_that_was_taken_over_overwrites_nothing(server: RedisServer) -> None:
    old = await open_store(StoreConfig(url=server.url))
    new = await open_store(StoreConfig(url=server.url))
    await old.put(make_record())
    rescued = make_record(state=CallState.ENDED, reason="node_lost")
    await new.put(rescued)
    with pytest.raises(StoreError, match="another node has taken the call over"):
        await old.put(make_record(handoff=make_handoff(shared_id="stale")))
    assert old.waiting == 0
    assert await old.get("acme", "billing", "call-1") == rescued
    assert await old.get_shared("acme", "billing", "stale") is None
    await old.close()
    await new.close()


async def test_a_node_learns_that_another_one_has_put_a_record_while_its_own_waited(
    server: RedisServer, store: RecordStore, settled: Settled
) -> None:
    new = await open_store(StoreConfig(url=server.url))
    await store.put(make_record())
    await new.put(make_record(state=CallState.ENDED, reason="node_lost"))
    server.pause()
    await put_fails(store, "call-1", state=CallState.ENDED)
    await put_fails(store, "call-2", state=CallState.ENDED)
    server.resume()
    await until(lambda: settled.stands == {"call-1": False, "call-2": True})
    await new.close()


async def test_a_record_that_a_node_has_pending_is_not_written_after_another_has_erased_it(
    server: RedisServer, store: RecordStore, settled: Settled
) -> None:
    await store.put(make_record())
    other = await open_store(StoreConfig(url=server.url))
    assert await other.delete("acme", "billing", "call-1")
    await store.put(make_record(state=CallState.ENDED))
    assert await other.get("acme", "billing", "call-1") is None
    assert await other.list_calls("acme", "billing", limit=10) == []
    await until(lambda: settled.stands == {"call-1": False})
    await other.close()


async def test_a_redis_that_lost_its_data_gives_no_term_twice(server: RedisServer, store: RecordStore) -> None:
    later = await open_store(StoreConfig(url=server.url))
    server.kill()
    server.start()
    await later.put(make_record())
    rescuer = await open_store(StoreConfig(url=server.url))
    await rescuer.put(make_record(reason="node_lost"))
    found = await store.get("acme", "billing", "call-1")
    assert found
    assert found.reason == "node_lost"
    await later.close()
    await rescuer.close()


async def test_records_and_their_indexes_expire(server: RedisServer) -> None:
    store = await open_store(StoreConfig(url=server.url, retention_hours=1))
    await store.put(make_record())
    hour = 3_600_000
    lives = {key: server.run("PTTL", key) for key in server.run("KEYS", "*")}
    assert {key for key, life in lives.items() if life == -1} == {"sipbridge:terms"}
    assert all(hour - 60_000 < life <= hour for life in lives.values() if life != -1)
    await store.close()


async def test_a_new_call_removes_expired_ones_from_the_indexes(server: RedisServer, store: RecordStore) -> None:
    await store.put(make_record("old"))
    server.run("DEL", "sipbridge:call:acme:billing:old")  # as if it had expired
    assert await store.list_calls("acme", "billing", limit=10) == []
    await store.put(make_record("new"))
    for key in ("sipbridge:calls:acme:billing", "sipbridge:calls-shared:acme:billing:contact-1"):
        assert server.run("ZRANGE", key, 0, -1) == ["new"]


async def test_a_page_goes_on_past_expired_records(
    server: RedisServer, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    for n in range(6):
        await store.put(make_record(f"call-{n}"))
    for n in (5, 4, 3):
        server.run("DEL", f"sipbridge:call:acme:billing:call-{n}")
    assert len(await store.list_calls("acme", "billing", limit=2)) == 2
