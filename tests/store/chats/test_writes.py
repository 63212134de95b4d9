"""The order of writes and events, and how far the webhook of a chat has got."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats.model import ChatState
from sipbridge.chats.ports import ChatStore
from sipbridge.errors import StoreError
from sipbridge.store.chats import tables, writer
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
from tests.store.records import make_handoff


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


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of changes that were committed together."""
    sizes: list[int] = []
    write = tables.Tables.change

    def counted(self: tables.Tables, items: list[tables.Change], *rest: object) -> object:
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
    with pytest.raises(StoreError, match="text that is not valid Unicode"):
        await store.write(change(make_event(1, payload={"text": "\ud800"})))
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


async def until_undelivered(store: ChatStore, expected: dict[str, int]) -> None:
    async with asyncio.timeout(2):
        while {record.chat_id: last for record, last in await store.undelivered()} != expected:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
