"""Redis away: a change of a chat is written once, whatever Redis has done before it stopped to respond."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatStore
from sipbridge.config import StoreConfig
from sipbridge.errors import StoreError
from sipbridge.store import open_chat_store
from sipbridge.store.redis import chat_writer
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.chats.chats import change, ended, make_chat, make_event, make_message, read, uid_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatStore]:
    monkeypatch.setattr(chat_writer, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(chat_writer, "WRITE_SECONDS", 0.2)
    opened = await open_node(server, "node-1")
    yield opened
    await opened.close()


async def open_node(server: RedisServer, node: str) -> ChatStore:
    return await open_chat_store(StoreConfig(url=server.url, retention_hours=1), lambda: node)


async def test_a_change_that_redis_may_have_is_written_once(server: RedisServer, store: ChatStore) -> None:
    await store.create(make_chat())
    server.pause()
    # It is in Redis' socket, and is sent again after the time limit: Redis finds both when it goes on.
    sent = store.write(change(make_message(1), make_event(1)))
    await asyncio.sleep(0.05)
    failing = store.write(change(make_message(2), make_event(2)))
    with pytest.raises(StoreError):
        await failing
    assert not sent.done()
    server.resume()
    await sent
    await store.write(change(make_message(2), make_event(2)))
    chat = await read(store)
    assert (chat.messages, chat.events) == ([make_message(1), make_message(2)], [make_event(1), make_event(2)])


async def test_a_creation_that_redis_may_have_returns_the_new_chat(server: RedisServer, store: ChatStore) -> None:
    server.pause()
    creating = asyncio.create_task(store.create(make_chat()))
    await asyncio.sleep(0.3)
    server.resume()
    assert await creating == make_chat()
    assert [chat.record for chat in await store.unfinished()] == [make_chat()]


async def test_positions_of_webhooks_are_written_later(server: RedisServer, store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_event(1), make_event(2)))
    server.pause()
    store.mark_delivered(uid_of("chat-1"), 2)
    await asyncio.sleep(0.5)
    server.resume()
    async with asyncio.timeout(30):
        while await store.undelivered():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.02)


async def test_closing_fails_what_redis_did_not_confirm(
    server: RedisServer, store: ChatStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_writer, "CLOSE_SECONDS", 0.1)
    await store.create(make_chat())
    server.kill()
    write = store.write(change(make_message(1)))
    await store.close()
    with pytest.raises(StoreError, match="could not be written"):
        await write
    server.start()


async def test_an_owner_that_was_taken_over_changes_nothing(server: RedisServer, store: ChatStore) -> None:
    await store.create(make_chat())
    rescuer = await open_node(server, "node-2")
    await rescuer.write(change(make_message(1)))
    with pytest.raises(StoreError, match=r"another node has taken chat .* over"):
        await store.write(change(make_message(2)))
    assert (await read(rescuer)).messages == [make_message(1)]
    await rescuer.close()


async def test_each_node_has_its_own_unfinished_chats(server: RedisServer, store: ChatStore) -> None:
    other = await open_node(server, "node-2")
    await store.create(make_chat("here"))
    await other.create(make_chat("there"))
    assert [chat.record.chat_id for chat in await store.unfinished()] == ["here"]
    assert [chat.record.chat_id for chat in await other.unfinished()] == ["there"]
    assert await store.get("acme", "support", "there"), "every node reads every chat"
    await other.close()


async def test_a_chat_that_is_over_expires_with_all_its_keys(server: RedisServer, store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_message(1), make_event(1)))
    hour = 3_600_000
    chat_keys = server.run("KEYS", f"sipbridge:chat*:{uid_of('chat-1')}")
    assert len(chat_keys) == 3
    assert all(server.run("PTTL", key) > 100 * hour for key in chat_keys), "a chat in progress may be silent for long"
    await store.write(change(make_event(2), record=ended()))
    chat_keys += ["sipbridge:chat-id:acme:support:chat-1", "sipbridge:chats-shared:acme:support:chat-1"]
    assert all(0 < server.run("PTTL", key) <= hour for key in chat_keys)
    assert await store.unfinished() == []


@pytest.mark.parametrize("erases", [False, True], ids=["creation", "erasure"])
async def test_a_request_that_fails_leaves_nothing_for_the_garbage_collector(
    server: RedisServer, store: ChatStore, caplog: pytest.LogCaptureFixture, *, erases: bool
) -> None:
    class Caller:
        pass

    async def call() -> weakref.ref[Caller]:
        caller = Caller()
        try:
            await (store.delete("acme", "support", "c1") if erases else store.create(make_chat()))
        except StoreError:
            return weakref.ref(caller)
        raise AssertionError("it did not fail")

    server.kill()
    sent = asyncio.create_task(store.create(make_chat("sent")))  # it stays open
    async with asyncio.timeout(30):
        while "could not be written" not in caplog.text:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
    gc.collect()
    gc.disable()
    try:
        assert (await call())() is None
    finally:
        gc.enable()
        server.start()
        await sent
