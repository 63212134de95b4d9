"""The contract of a store of chats, for each engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sipbridge.chats.model import AttachmentFile, ChatState, DeliveryStatus, EndRequest
from sipbridge.chats.ports import ChatStore, StoredChat
from sipbridge.errors import NotStorable, StoreError
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
from tests.store.conftest import ENGINES
from tests.store.records import START, make_handoff

pytestmark = ENGINES


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


async def test_entries_keep_the_order_of_the_writes(store: ChatStore) -> None:
    await asyncio.gather(*(store.create(make_chat(f"chat-{n}")) for n in range(5)))
    writes = [
        store.write(change(make_message(step), make_event(step, f"chat-{n}"), of=f"chat-{n}"))
        for step in range(1, 201)
        for n in range(5)
    ]
    await asyncio.gather(*writes)
    for n in range(5):
        chat = await read(store, f"chat-{n}")
        assert [message.id for message in chat.messages] == [f"m-{step}" for step in range(1, 201)]
        assert [event.sequence for event in chat.events] == list(range(1, 201))


async def test_step_is_refused_until_the_one_before_it_is_written(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_event(1), step=1))
    double = make_event(2)
    writes = [
        store.write(change(double, double, step=2)),  # the file refuses it
        store.write(change(make_event(3), step=3)),
        store.write(change(make_message(1))),  # no step
        store.write(change(make_event(3), step=3)),
    ]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [StoreError, StoreError, type(None), StoreError]
    await asyncio.gather(*(store.write(change(make_event(step), step=step)) for step in (2, 3, 4)))
    assert [event.sequence for event in (await read(store)).events] == [1, 2, 3, 4]


async def test_the_newest_record_of_a_batch_is_stored(store: ChatStore) -> None:
    await store.create(make_chat())
    states = (ChatState.QUEUED, ChatState.ACTIVE, ChatState.ENDED)
    await asyncio.gather(*(store.write(change(record=make_chat(state=state))) for state in states))
    assert (await read(store)).record.state is ChatState.ENDED


async def test_a_change_of_a_chat_that_is_not_stored_fails_alone(store: ChatStore) -> None:
    await store.create(make_chat())
    known, unknown = store.write(change(make_message())), store.write(change(make_message(), of="unknown"))
    results = await asyncio.gather(known, unknown, return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], StoreError)
    assert "is not stored" in str(results[1])
    assert await store.read(uid_of("unknown")) is None


async def test_no_two_events_of_a_chat_have_the_same_sequence(store: ChatStore) -> None:
    await asyncio.gather(*(store.create(make_chat(name)) for name in ("chat-1", "chat-2")))
    twice = [change(make_event(1), make_message(1)), change(make_message(2), make_event(1))]
    other = change(make_event(1, "chat-2"), of="chat-2")
    results = await asyncio.gather(*(store.write(each) for each in (*twice, other)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    chat = await read(store)
    assert (chat.messages, chat.events) == ([make_message(1)], [make_event(1)])
    assert len((await read(store, "chat-2")).events) == 1


async def test_entries_of_a_later_run_come_after_earlier_ones(reopen: OpenChats) -> None:
    for run in range(3):
        store = await reopen()
        await store.create(make_chat())
        await store.write(change(make_message(2 * run)))
        await store.write(change(make_message(2 * run + 1)))
        await store.close()
    assert (await read(await reopen())).messages == [make_message(n) for n in range(6)]


async def test_entries_may_follow_the_end(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_message(1), record=ended()))
    await store.write(change(make_delivery(1)))
    await store.write(change(make_delivery(2)))
    assert list((await read(store)).deliveries) == ["m-1", "m-2"]


async def test_text_that_is_not_unicode_fails_only_that_write(store: ChatStore) -> None:
    with pytest.raises(StoreError, match="text that is not valid Unicode"):
        await store.create(make_chat("broken", handoff=make_handoff(utterance="half \ud800")))
    await store.create(make_chat())
    for odd in ("\ud800", object()):
        writing = store.write(change(make_event(1, payload={"text": odd})))
        assert writing.done(), "refused before it waits for others"
        with pytest.raises(NotStorable, match="text that is not valid Unicode"):
            await writing
    await store.write(change(make_event(1)))
    assert (await read(store)).events == [make_event(1)]


async def test_a_cancelled_write_affects_no_other(store: ChatStore) -> None:
    await store.create(make_chat())
    cancelled = asyncio.ensure_future(store.write(change(make_message(1))))
    other = asyncio.ensure_future(store.write(change(make_message(2))))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    assert make_message(2) in (await read(store)).messages


async def test_chats_are_undelivered_until_the_webhook_has_their_events(store: ChatStore) -> None:
    for name in ("chat-1", "chat-2", "silent"):
        await store.create(make_chat(name))
    await store.write(change(make_event(1), make_event(2), record=ended()))
    await store.write(change(make_event(1, "chat-2"), of="chat-2"))
    store.mark_delivered(uid_of("chat-1"), 1)
    store.mark_delivered(uid_of("chat-2"), 1)
    store.mark_delivered(uid_of("unknown"), 1)
    await until_undelivered(store, {"chat-1": 1})
    store.mark_delivered(uid_of("chat-1"), 2)
    await until_undelivered(store, {})


async def test_the_position_of_a_webhook_never_goes_back(reopen: OpenChats) -> None:
    store = await reopen()
    await store.create(make_chat())
    await store.write(change(*(make_event(n) for n in range(1, 6))))
    for sequence in (3, 4, 2):
        store.mark_delivered(uid_of("chat-1"), sequence)
    await store.close()
    store.mark_delivered(uid_of("chat-1"), 5)
    again = await reopen()
    await until_undelivered(again, {"chat-1": 4})
    again.mark_delivered(uid_of("chat-1"), 1)
    await again.close()
    await until_undelivered(await reopen(), {"chat-1": 4})


async def test_a_chat_in_progress_is_not_erased(store: ChatStore) -> None:
    await store.create(make_chat())
    assert not await store.delete("acme", "support", "chat-1")
    assert await store.delete_shared("acme", "support", "chat-1") == 0
    await store.write(change(record=ended()))
    assert await store.delete("acme", "support", "chat-1")


async def test_an_erasure_affects_its_project_only(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(record=ended()))
    assert not await store.delete("acme", "sales", "chat-1")
    assert not await store.delete("other", "support", "chat-1")
    assert await store.delete_shared("acme", "sales", "chat-1") == 0
    assert await store.get("acme", "support", "chat-1")


async def test_an_erasure_follows_the_writes_before_it(store: ChatStore) -> None:
    await store.create(make_chat())
    ending = asyncio.ensure_future(store.write(change(make_message(1), record=ended())))
    erasing = asyncio.create_task(store.delete("acme", "support", "chat-1"))
    creating = asyncio.create_task(store.create(make_chat(uid=uid_of("new"))))
    await ending
    assert await erasing
    assert (await creating).uid == uid_of("new")
    assert await store.read(uid_of("chat-1")) is None


async def until_undelivered(store: ChatStore, expected: dict[str, int]) -> None:
    async with asyncio.timeout(2):
        while {record.chat_id: last for record, last in await store.undelivered()} != expected:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
