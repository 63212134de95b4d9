"""Events that the store has: of the run before, while it is read, and too many for memory."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.errors import StoreError
from sipbridge.webhooks import ChatSource
from sipbridge.webhooks.event_queue import MAX_HELD

from .conftest import World, until
from .receiver import OK, Receiver, status


async def test_a_restart_goes_on_where_the_run_before_ended(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda posted: OK if posted.event["sequence"] <= 3 else status(503)
    chat = await world.chat()
    for _ in range(50):
        await chat.emit()
    await receiver.until_posted(5)
    await world.sender.close()
    assert await chat.undelivered() == 3
    receiver.respond = lambda _: OK
    world.sender = world.make_sender()
    world.sender.start()
    await receiver.until_accepted(50)
    assert receiver.accepted == [("c1", sequence) for sequence in range(1, 51)]
    await world.until_nothing_waits()
    assert await chat.undelivered() is None


async def test_an_event_before_the_store_was_read_waits_for_those_of_the_run_before(
    world: World, receiver: Receiver
) -> None:
    chat = await world.chat()
    await chat.store()
    await chat.store()
    await world.sender.close()
    world.sender = world.make_sender()
    await chat.emit()
    fresh = await world.chat("c2")
    await fresh.emit()
    world.sender.start()
    await receiver.until_accepted(4)
    assert [key for key in receiver.accepted if key[0] == "c1"] == [("c1", 1), ("c1", 2), ("c1", 3)]


async def test_a_restart_waits_for_a_store_that_fails(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.webhooks.sender._STORE_PAUSE_SECONDS", 0.05)
    chat = await world.chat()
    await chat.store()
    await world.sender.close()
    faults = iter([StoreError("locked"), StoreError("locked")])
    undelivered, events = world.store.undelivered, world.store.events

    async def fail_first(among: object = None) -> object:  # noqa: ARG001 (as of the store)
        if fault := next(faults, None):
            raise fault
        return await undelivered()

    async def fail_then_read(*_: object, **__: object) -> object:
        monkeypatch.setattr(world.store, "events", events)
        raise StoreError("locked")

    monkeypatch.setattr(world.store, "undelivered", fail_first)
    monkeypatch.setattr(world.store, "events", fail_then_read)
    world.sender = world.make_sender()
    world.sender.start()
    await receiver.until_accepted(1)


async def test_a_chat_that_is_far_behind_keeps_few_events_in_memory(world: World, receiver: Receiver) -> None:
    release = asyncio.Event()
    receiver.delay = lambda _: 0.0 if release.is_set() else 0.3
    chat = await world.chat()
    for _ in range(500):
        await chat.emit()
    [queue] = world.sender._queues.values()  # noqa: SLF001 (memory has no other sign)
    assert len(queue._held) <= MAX_HELD  # noqa: SLF001 (as above)
    release.set()
    await receiver.until_accepted(500)
    assert receiver.accepted == [("c1", sequence) for sequence in range(1, 501)]


async def test_events_published_while_the_store_is_read_arrive_once(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    events = world.store.events

    async def slow(uid: str, *, after: int, limit: int = 500) -> object:
        page = await events(uid, after=after, limit=limit)
        await asyncio.sleep(0.01)
        return page

    world.store.events = slow  # type: ignore[method-assign,assignment]
    for number in range(120):
        await chat.emit()
        await asyncio.sleep(0.004 if number > 3 * MAX_HELD else 0)  # the first ones at once, so that the store is read
    await receiver.until_accepted(120)
    await world.until_nothing_waits()
    assert receiver.accepted == [("c1", sequence) for sequence in range(1, 121)]


async def test_an_event_that_was_read_before_it_was_published_arrives_once(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    await chat.store()
    await world.sender.close()
    world.sender = world.make_sender()
    world.sender.start()
    late = await chat.store()
    await receiver.until_accepted(2)
    await world.until_nothing_waits()
    world.publish(chat.record, late)
    await chat.emit()
    await receiver.until_accepted(3)
    assert receiver.accepted == [("c1", 1), ("c1", 2), ("c1", 3)]


async def test_a_stop_leaves_the_rest_to_the_next_start(world: World, receiver: Receiver) -> None:
    receiver.delay = lambda _: 0.3
    chat = await world.chat()
    for _ in range(10):
        await chat.emit()
    await receiver.until_posted(1)
    await world.sender.close()
    assert receiver.accepted == [("c1", 1)]  # the attempt in progress was completed
    assert await chat.undelivered() == 1


async def test_a_node_sends_what_another_one_left_from_its_position(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    for _ in range(3):
        await chat.store()
    world.store.mark_delivered(chat.record.uid, 1)
    world.sender.resume(await ChatSource(world.store).undelivered([chat.record.uid]))
    await chat.emit()
    await receiver.until_accepted(3)
    assert [sequence for _, sequence in receiver.accepted] == [2, 3, 4]


async def test_a_node_sends_nothing_more_of_what_it_has_given_away(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    kept, given = await world.chat("kept"), await world.chat("given")
    await given.emit()
    await kept.emit()
    await until(lambda: len(receiver.posted) >= 4, 5)
    world.sender.forget([given.record.uid])
    receiver.respond = lambda _: OK
    await receiver.until_accepted(1)
    await world.until_nothing_waits()
    assert {chat_id for chat_id, _ in receiver.accepted} == {"kept"}
    assert await given.undelivered() == 0
