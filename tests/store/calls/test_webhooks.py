"""The ended calls with events that their webhook did not get."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from sipbridge.calls.milestones import LAST
from sipbridge.calls.model import CallState
from sipbridge.calls.ports.store import RecordStore, Undelivered
from sipbridge.config import StoreConfig
from sipbridge.store import open_store
from sipbridge.store.calls.backlog import Backlog
from tests.store.conftest import ENGINES
from tests.store.records import make_record

ENDED = make_record(state=CallState.ENDED)


class Stores:
    """The stores of one URL, one after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: RecordStore | None = None

    async def open(self) -> RecordStore:
        await self.close()
        config = StoreConfig(url=self._url, retention_hours=24)
        self._store = await open_store(config, "node-1", has_webhook=lambda _, project: project == "billing")
        return self._store

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


@pytest.fixture
async def stores(url: str) -> AsyncIterator[Stores]:
    stores = Stores(url)
    yield stores
    await stores.close()


@ENGINES
async def test_an_ended_call_waits_for_its_webhook_until_all_is_delivered(stores: Stores) -> None:
    store = await stores.open()
    await store.put(ENDED)
    assert await store.undelivered() == [Undelivered("acme", "billing", "call-1", 0)]
    store.mark_delivered("acme", "billing", "call-1", 3)
    store = await stores.open()
    assert await store.undelivered() == [Undelivered("acme", "billing", "call-1", 3)]
    store.mark_delivered("acme", "billing", "call-1", LAST)
    store = await stores.open()
    assert await store.undelivered() == []


@ENGINES
async def test_a_call_in_progress_and_one_without_a_webhook_do_not_wait(stores: Stores) -> None:
    store = await stores.open()
    await store.put(make_record())
    await store.put(make_record("call-2", state=CallState.ENDED, project="sales"))
    assert await store.undelivered() == []


@ENGINES
async def test_a_position_is_written_with_the_next_record(stores: Stores) -> None:
    store = await stores.open()
    await store.put(ENDED)
    store.mark_delivered("acme", "billing", "call-1", LAST)
    await store.put(make_record("call-2"))
    store = await stores.open()
    assert await store.undelivered() == []


@ENGINES
async def test_a_position_of_a_record_that_could_not_be_written_is_written_after_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.store.calls.writer.BATCH", 1)
    monkeypatch.setattr("sipbridge.store.redis.call_writer.ROWS", 1)
    monkeypatch.setattr(Backlog.next_batch, "__defaults__", (1,))
    store = await stores.open()
    records = [make_record(f"call-{number}", state=CallState.ENDED) for number in range(5)]
    puts = [asyncio.ensure_future(store.put(record)) for record in records]
    await asyncio.sleep(0)  # the rows wait now
    for number in range(5):
        store.mark_delivered("acme", "billing", f"call-{number}", LAST)
    await asyncio.gather(*puts)
    store = await stores.open()
    assert await store.undelivered() == []


@ENGINES
async def test_an_erased_record_waits_for_nothing(stores: Stores) -> None:
    store = await stores.open()
    await store.put(ENDED)
    assert await store.delete("acme", "billing", "call-1")
    assert await store.undelivered() == []
    store = await stores.open()
    assert await store.undelivered() == []


async def test_an_erased_record_leaves_no_row(stores: Stores, path: Path) -> None:
    store = await stores.open()
    await store.put(ENDED)
    assert await store.delete("acme", "billing", "call-1")
    await stores.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT * FROM call_webhooks").fetchall() == []


@pytest.mark.parametrize("engine", ["redis"])
async def test_the_calls_of_another_node_are_not_ours(stores: Stores, url: str) -> None:
    store = await stores.open()
    await store.put(ENDED)
    other = await open_store(StoreConfig(url=url), "node-2", has_webhook=lambda *_: True)
    assert await other.undelivered() == []
    await other.put(make_record("call-2", state=CallState.ENDED))
    assert [each.call_id for each in await other.undelivered()] == ["call-2"]
    assert [each.call_id for each in await store.undelivered()] == ["call-1"]
    await other.close()


async def test_a_file_of_release_0_1_0_gets_the_table(stores: Stores, path: Path) -> None:
    store = await stores.open()
    await store.put(make_record("old", state=CallState.ENDED))
    await stores.close()
    with closing(sqlite3.connect(path)) as file:
        file.executescript("DROP TRIGGER call_deleted; DROP TABLE call_webhooks")
    store = await stores.open()
    assert await store.undelivered() == []
    await store.put(ENDED)
    assert [each.call_id for each in await store.undelivered()] == ["call-1"]


async def test_a_file_that_is_deleted_while_in_use_keeps_what_waits(stores: Stores, path: Path) -> None:
    store = await stores.open()
    await store.put(ENDED)
    for file in path.parent.glob("calls.db*"):
        if file.suffix != ".lock":
            file.unlink()
    await store.put(make_record("call-2", state=CallState.ENDED))
    store = await stores.open()
    assert sorted(each.call_id for each in await store.undelivered()) == ["call-1", "call-2"]
