"""Chats are created, read, found and, after a time, erased."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatStore
from sipbridge.errors import StoreError
from sipbridge.store.chats import store as store_module
from tests.store.chats.chats import (
    change,
    ended,
    make_chat,
    make_event,
    make_message,
    uid_of,
)
from tests.store.chats.conftest import OpenChats


async def test_a_chat_that_cannot_be_read_keeps_no_other_from_going_on(
    path: Path, store: ChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("broken", "whole"):
        await store.create(make_chat(name))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("""UPDATE chats SET body = '{"customer": "Ada"}' WHERE chat_id = 'broken'""")
    assert [chat.record.chat_id for chat in await store.unfinished()] == ["whole"]
    assert f"chat {uid_of('broken')} cannot go on: stored record not valid" in caplog.text
    assert "Ada" not in caplog.text
    with pytest.raises(StoreError, match="record not valid"):
        await store.read(uid_of("broken"))


async def test_only_chats_that_have_been_over_for_long_are_erased(
    path: Path, reopen: OpenChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PURGE_CHATS", 2)
    first = await reopen()
    for name in ("a", "b", "c", "in progress", "fresh"):
        await first.create(make_chat(name))
        record = None if name == "in progress" else ended(name)
        await first.write(change(make_message(1), make_event(1, name), of=name, record=record))
    await first.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE chats SET updated_at = updated_at - 25 * 3600e6 WHERE chat_id <> 'fresh'")
    second = await reopen()
    async with asyncio.timeout(10):
        while len(await second.list_chats("acme", "support", limit=10)) > 2:  # noqa: ASYNC110 (a purge sends no notification)
            await asyncio.sleep(0.01)
    left = {record.chat_id for record in await second.list_chats("acme", "support", limit=10)}
    assert left == {"fresh", "in progress"}
    await second.close()
    with closing(sqlite3.connect(path)) as connection:
        for table in ("chat_entries", "chat_webhooks"):
            found = connection.execute(f"SELECT DISTINCT uid FROM {table} LEFT JOIN chats ON id = chat")  # noqa: S608 (fixed text only)
            assert {uid for (uid,) in found} == {uid_of(name) for name in left}
