"""Chats are created, read, found and, after a time, erased."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.chats.model import AttachmentFile, ChatState, DeliveryStatus, EndRequest
from sipbridge.chats.ports import ChatStore, StoredChat
from sipbridge.errors import StoreError
from sipbridge.store.chats import store as store_module
from tests.store.chats.chats import (
    change,
    ended,
    make_chat,
    make_delivery,
    make_event,
    make_message,
    read,
    uid_of,
)
from tests.store.chats.conftest import OpenChats
from tests.store.records import START, make_handoff


async def test_a_chat_is_read_as_it_was_written(store: ChatStore) -> None:
    end = EndRequest(by="customer", reason="left", at=START)
    active = make_chat(state=ChatState.ACTIVE, channel_state={"cursor": [1, None, "ü\x00"]})
    assert await store.create(make_chat()) == make_chat()
    await store.write(change(make_message(1), make_event(1)))
    await store.write(change(make_delivery(1), make_event(2), make_message(2), record=active))
    await store.write(change(end))
    assert await read(store) == StoredChat(
        record=active,
        messages=[make_message(1), make_message(2)],
        deliveries={"m-1": make_delivery(1)},
        end_request=end,
        events=[make_event(1), make_event(2)],
    )
    assert await store.get("acme", "support", "chat-1") == active


async def test_a_file_is_found_by_its_id_and_read_apart_from_the_chat(reopen: OpenChats) -> None:
    store, file = await reopen(), AttachmentFile.new("form.pdf", "application/pdf", bytes(range(256)))
    other = AttachmentFile.new("other", "", b"x")
    await store.create(make_chat())
    await store.write(change(file, make_event(1), other))
    await store.write(change(make_message(1)))
    await store.close()
    store = await reopen()
    await store.write(change(make_message(2)))
    assert await store.attachment(uid_of("chat-1"), file.id) == file
    assert await store.attachment(uid_of("chat-1"), other.id) == other
    assert await store.attachment(uid_of("chat-2"), file.id) is None
    assert await store.attachment(uid_of("chat-1"), "0" * 15) is None
    chat = await read(store)
    assert (chat.messages, chat.events) == ([make_message(1), make_message(2)], [make_event(1)])
    [unfinished] = await store.unfinished()
    assert unfinished == chat


async def test_a_file_is_erased_with_its_chat(store: ChatStore) -> None:
    file = AttachmentFile.new("form.pdf", "application/pdf", b"content")
    await store.create(make_chat())
    await store.write(change(file, record=ended()))
    assert await store.delete("acme", "support", "chat-1")
    assert await store.attachment(uid_of("chat-1"), file.id) is None


async def test_data_nested_to_the_limit_is_stored(store: ChatStore) -> None:
    deep: object = "core"
    for _ in range(200):
        deep = [deep]
    record = make_chat(handoff=make_handoff(data={"deep": deep}))
    await store.create(record)
    assert await store.get("acme", "support", "chat-1") == record


async def test_the_first_request_to_end_counts(store: ChatStore) -> None:
    await store.create(make_chat())
    for by in ("customer", "bot"):
        await store.write(change(EndRequest(by=by, at=START)))
    assert (await read(store)).end_request == EndRequest(by="customer", at=START)


async def test_the_last_delivery_of_a_message_counts(store: ChatStore) -> None:
    await store.create(make_chat())
    last = make_delivery(1, status=DeliveryStatus.FAILED)
    for each in (make_delivery(1), make_delivery(2), last):
        await store.write(change(each))
    assert (await read(store)).deliveries == {"m-1": last, "m-2": make_delivery(2)}


async def test_an_unknown_chat_is_not_found(store: ChatStore) -> None:
    assert await store.read(uid_of("chat-1")) is None
    assert await store.get("acme", "support", "chat-1") is None
    assert await store.events(uid_of("chat-1"), after=0) == []


async def test_of_two_chats_with_one_id_the_first_is_stored(store: ChatStore) -> None:
    first, second = make_chat(), make_chat(uid=uid_of("other"), digest="d2")
    assert await asyncio.gather(*map(store.create, (first, second))) == [first, first]
    assert await store.create(second) == first
    assert await store.read(uid_of("other")) is None


async def test_projects_may_use_the_same_id(store: ChatStore) -> None:
    here, there = make_chat(), make_chat(uid=uid_of("other"), project="sales")
    assert [await store.create(chat) for chat in (here, there)] == [here, there]
    assert await store.get("acme", "sales", "chat-1") == there


async def test_a_repeated_creation_returns_the_present_record(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(record=ended()))
    assert await store.create(make_chat()) == ended()


async def test_a_project_sees_its_own_chats_only(store: ChatStore) -> None:
    await store.create(make_chat())
    for client, project in (("acme", "sales"), ("other", "support")):
        assert await store.get(client, project, "chat-1") is None
        assert await store.get_shared(client, project, "chat-1") is None
        assert await store.list_chats(client, project, limit=10) == []


async def test_of_two_chats_with_a_shared_id_the_newest_is_found(store: ChatStore) -> None:
    handoff = make_handoff(shared_id="crm-7")
    newest = make_chat("new", started_at=START + timedelta(microseconds=1), handoff=handoff)
    for chat in (newest, make_chat("old", handoff=handoff)):
        await store.create(chat)
    assert await store.get_shared("acme", "support", "crm-7") == newest
    await store.write(change(of="new", record=newest.model_copy(update={"handoff": make_handoff(shared_id="x")})))
    found = await store.get_shared("acme", "support", "crm-7")
    assert found
    assert found.chat_id == "old"


async def test_chats_are_listed_newest_first_and_in_pages(store: ChatStore) -> None:
    for minute in (2, 0, 1, 3):
        await store.create(make_chat(f"chat-{minute}", started_at=START + timedelta(minutes=minute)))
    page = await store.list_chats("acme", "support", limit=2)
    assert [record.chat_id for record in page] == ["chat-3", "chat-2"]
    rest = await store.list_chats("acme", "support", limit=2, before=page[-1].started_at)
    assert [record.chat_id for record in rest] == ["chat-1", "chat-0"]


async def test_events_are_resumed_by_sequence(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_event(1), make_message(1), make_event(None), make_event(2)))
    await store.write(change(*(make_event(n) for n in range(3, 12))))
    everything = [make_event(n) for n in range(1, 12)]
    assert await store.events(uid_of("chat-1"), after=0) == everything
    assert await store.events(uid_of("chat-1"), after=3, limit=2) == everything[3:5]
    assert await store.events(uid_of("chat-1"), after=11) == []
    assert (await read(store)).events == everything, "typing is not stored"


async def test_chats_that_are_not_over_are_unfinished(reopen: OpenChats) -> None:
    first = await reopen()
    for minute, state in enumerate(ChatState):
        name = f"chat-{state}"
        record = make_chat(name, started_at=START - timedelta(minutes=minute))
        await first.create(record)
        await first.write(change(make_message(1), make_event(1, name), of=name))
        await first.write(change(of=name, record=record.model_copy(update={"state": state})))
    await first.close()
    unfinished = await (await reopen()).unfinished()
    assert [chat.record.state for chat in unfinished] == [ChatState.ACTIVE, ChatState.QUEUED, ChatState.REQUESTED]
    assert [(chat.messages, len(chat.events)) for chat in unfinished] == [([make_message(1)], 1)] * 3


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
