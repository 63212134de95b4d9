"""The order of writes and events, and how far the webhook of a chat has got."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.store.chats import tables, writer
from sipbridge.store.chats.items import Change
from tests.store.chats.chats import (
    change,
    make_chat,
    make_event,
    read,
)
from tests.store.chats.conftest import OpenChats


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of changes that were committed together."""
    sizes: list[int] = []
    write = tables.Tables.change

    def counted(self: tables.Tables, items: list[Change], *rest: object) -> object:
        sizes.append(len(items))
        return write(self, items, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tables.Tables, "change", counted)
    return sizes


async def test_changes_that_wait_are_committed_together(reopen: OpenChats, batches: list[int]) -> None:
    store = await reopen()
    await store.create(make_chat())
    await asyncio.gather(*(store.write(change(make_event(n))) for n in range(1, 1001)))
    assert sum(batches) == 1000
    assert len(batches) < 50
    assert len((await read(store)).events) == 1000


async def test_changes_gather_after_a_commit(
    reopen: OpenChats, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.5)
    store = await reopen()
    await store.create(make_chat())
    await store.write(change(make_event(1)))
    gathered = []
    for number in range(2, 7):
        gathered.append(store.write(change(make_event(number))))
        await asyncio.sleep(0.001)
    await asyncio.gather(*gathered)
    assert batches == [1, 5]
