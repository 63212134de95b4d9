"""Typing events, which are sent once or not at all."""

from __future__ import annotations

from datetime import timedelta

from sipbridge.webhooks import DeliveryResult

from .conftest import World, until
from .receiver import OK, Receiver, status


async def test_a_typing_event_is_sent_once_between_the_others(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    chat.type()
    await chat.emit()
    chat.type()
    await receiver.until_accepted(3)
    assert [sequence for _, sequence in receiver.accepted] == [None, 1, None]
    receiver.respond = lambda _: status(503)
    chat.type()
    await world.until_nothing_waits()
    assert len(receiver.posted) == 4
    assert world.results()[-1] is DeliveryResult.DROPPED


async def test_typing_before_the_first_event_of_a_chat_repeats_nothing(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    for _ in range(3):
        await chat.emit()
    await receiver.until_accepted(3)
    await world.until_nothing_waits()
    receiver.delay = lambda _: 0.05
    chat.type()
    await chat.emit()
    await receiver.until_accepted(5)
    assert [sequence for _, sequence in receiver.accepted] == [1, 2, 3, None, 4]


async def test_typing_does_not_wait_behind_a_retry_or_when_it_is_late(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit()
    await receiver.until_posted(2)
    chat.type()
    receiver.respond = lambda _: OK
    await receiver.until_accepted(1)
    await world.until_nothing_waits()
    chat.type(at=world.clock() - timedelta(seconds=4))
    await until(lambda: world.results().count(DeliveryResult.DROPPED) == 2, 5)
    assert receiver.accepted == [("c1", 1)]
