"""The order of a chat's events, and the chats and projects that share a sender."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from sipbridge.chats.model import ChatState
from sipbridge.webhooks import ChatSource, DeliveryResult, Webhook
from tests.fakes.chat_store import FakeChatStore

from .conftest import BOT, OTHER, SECRET, World, make_event, until
from .receiver import HANG, OK, Receiver, receiving, status


async def test_the_events_of_a_chat_arrive_in_order_whatever_their_responses(world: World, receiver: Receiver) -> None:
    responses = iter([status(500), OK, status(429), status(404), OK, status(408), status(503)])
    receiver.respond = lambda _: next(responses, OK)
    chat = await world.chat()
    for _ in range(20):
        await chat.emit()
    await world.until_nothing_waits()
    assert await chat.undelivered() is None
    sequences = [sequence for _, sequence in receiver.accepted]
    assert sequences == [sequence for sequence in range(1, 21) if sequence in sequences]
    assert len(sequences) == 19  # one was refused for good
    assert receiver.most_at_once == 1
    attempts = [posted.key[1] for posted in receiver.posted]
    assert attempts == sorted(attempts, key=lambda sequence: sequence or 0)


async def test_chats_take_turns(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.webhooks.lane.MAX_WORKERS", 1)
    busy, other = await world.chat("busy"), await world.chat("other")
    await asyncio.gather(*(busy.emit() for _ in range(10)), other.emit())
    await receiver.until_accepted(11)
    assert receiver.accepted.index(("other", 1)) <= 2


async def test_a_thousand_chats_are_delivered_in_order_each(world: World, receiver: Receiver) -> None:
    chats = [await world.chat(f"c{number}") for number in range(1000)]
    for _ in range(3):
        for chat in chats:
            await chat.emit()
    await receiver.until_accepted(3000, 30)
    by_chat: dict[str, list[int | None]] = {}
    for chat_id, sequence in receiver.accepted:
        by_chat.setdefault(chat_id, []).append(sequence)
    assert len(by_chat) == 1000
    assert set(map(tuple, by_chat.values())) == {(1, 2, 3)}
    assert receiver.connections <= 100
    await world.until_nothing_waits()


async def test_a_dead_webhook_harms_no_other(world: World, receiver: Receiver) -> None:
    async with receiving() as dead:
        dead.respond = lambda _: HANG
        world.webhooks[OTHER] = Webhook(dead.url, SECRET)
        for number in range(300):
            await (await world.chat(f"d{number}", OTHER)).emit()
        await dead.until_posted(100)
        chat = await world.chat()
        started_at = time.monotonic()
        for _ in range(50):
            await chat.emit()
        await receiver.until_accepted(50)
        assert time.monotonic() - started_at < 1
        assert dead.most_at_once == 100
        assert world.sender.backlog()[OTHER] == 300
        await world.sender.close()


async def test_no_chat_without_events_has_a_task_or_memory(world: World, receiver: Receiver) -> None:
    before = len(asyncio.all_tasks())
    chats = [await world.chat(f"c{number}") for number in range(50)]
    for chat in chats:
        await chat.emit()
    await receiver.until_accepted(50)
    await world.until_nothing_waits()
    receiver.close()
    await until(lambda: len(asyncio.all_tasks()) <= before, 5)
    assert not world.sender._queues  # noqa: SLF001 (memory has no other sign)


async def test_events_of_a_project_that_loses_its_webhook_are_dropped(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit()
    await chat.emit()
    await receiver.until_posted(1)
    del world.webhooks[BOT]
    await world.until_nothing_waits()
    assert await chat.undelivered() is None
    assert world.results()[-1] is DeliveryResult.DROPPED


async def test_a_project_without_a_webhook_leaves_nothing_to_deliver(world: World, receiver: Receiver) -> None:
    chat = await world.chat("c1", OTHER)
    await chat.emit()
    assert await chat.undelivered() == 0
    chat.record = chat.record.model_copy(update={"state": ChatState.ENDED})
    await chat.emit()
    assert await chat.undelivered() is None
    assert not receiver.posted


async def test_an_internal_error_of_one_chat_does_not_stop_the_others(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await world.chat("broken")
    event = make_event(broken.record, 1, "half a character: \ud83d", datetime.now(UTC))
    world.publish(broken.record, event)
    chat = await world.chat()
    await chat.emit()
    await receiver.until_accepted(1)
    assert receiver.accepted == [("c1", 1)]
    assert "internal error" in caplog.text


async def test_a_chat_that_was_erased_is_forgotten(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit()
    await receiver.until_posted(1)
    world.store = FakeChatStore()
    world.sender._source = ChatSource(world.store)  # noqa: SLF001 (as if the chat had been erased)
    await world.until_nothing_waits()
