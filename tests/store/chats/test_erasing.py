"""Erased chats are removed from query results and from the files."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatStore
from sipbridge.store.chats import writer
from sipbridge.store.chats.store import SqliteChatStore
from tests.store.chats.chats import change, ended, make_chat, make_event, make_message, uid_of
from tests.store.records import make_handoff

SECRET = "the password is swordfish"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHECK_SECONDS", 0.02)


def bytes_in(path: Path) -> bytes:
    """Return the contents of all files of the database."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob("calls.db*")))


async def until_erased(path: Path) -> None:
    """Wait until the files do not have the text any more: a sync may hold up that the log is emptied."""
    async with asyncio.timeout(10):
        while SECRET.encode() in bytes_in(path):  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


async def fill(store: ChatStore) -> None:
    """Write chats with secrets, which are over, and others between them that share their pages."""
    for n in range(20):
        secret, other = f"secret-{n}", f"other-{n}"
        handoff = make_handoff(shared_id="crm-7", data={"said": SECRET})
        await asyncio.gather(store.create(make_chat(secret, handoff=handoff)), store.create(make_chat(other)))
        for step in range(1, 5):
            event = make_event(step, payload={"text": SECRET * 20})
            await store.write(change(make_message(step, text=SECRET * 20), event, of=secret))
            await store.write(change(make_message(step), of=other))
        await store.write(change(of=secret, record=ended(secret, handoff=handoff)))


async def test_erased_chats_are_not_in_the_files(path: Path, store: ChatStore) -> None:
    await fill(store)
    assert SECRET.encode() in bytes_in(path)
    for n in range(20):
        assert await store.delete("acme", "support", f"secret-{n}")
    await until_erased(path)
    assert await store.read(uid_of("secret-0")) is None
    assert await store.events(uid_of("secret-0"), after=0) == []
    assert len(await store.list_chats("acme", "support", limit=100)) == 20


async def test_chats_erased_by_shared_id_are_not_in_the_files(path: Path, store: ChatStore) -> None:
    await fill(store)
    assert await store.delete_shared("acme", "support", "crm-7") == 20
    await until_erased(path)
    assert await store.delete_shared("acme", "support", "crm-7") == 0
    assert [len(chat.messages) for chat in await store.unfinished()] == [4] * 20


async def test_a_reader_in_another_process_delays_the_erasure_and_no_write(path: Path, store: ChatStore) -> None:
    await fill(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM chats").fetchone()
        async with asyncio.timeout(1):
            assert await store.delete_shared("acme", "support", "crm-7") == 20
            await store.create(make_chat("after"))
        other.execute("COMMIT")
    await until_erased(path)


async def test_chats_that_are_too_old_are_erased_from_the_files(path: Path) -> None:
    store = SqliteChatStore(path, retention=timedelta(seconds=1))
    await fill(store)
    assert SECRET.encode() in bytes_in(path)
    await until_erased(path)
    assert await store.get("acme", "support", "secret-0") is None
    assert len(await store.unfinished()) == 20
    await store.close()
