"""The responses after which an event is sent again, and how long that goes on."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

import pytest

from sipbridge.webhooks import DeliveryResult, Webhook
from sipbridge.webhooks.backoff import Backoff

from .conftest import BOT, SECRET, World, until
from .receiver import HANG, OK, Receiver, receiving, status


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_these_statuses_are_retried(world: World, receiver: Receiver, code: int) -> None:
    responses = iter([status(code), status(code)])
    receiver.respond = lambda _: next(responses, OK)
    chat = await world.chat()
    event = await chat.emit()
    await receiver.until_accepted(1)
    assert [posted.headers["x-sipbridge-delivery"] for posted in receiver.posted] == 3 * [event.id]
    await world.until_nothing_waits()
    assert world.results() == [DeliveryResult.RETRIED, DeliveryResult.RETRIED, DeliveryResult.DELIVERED]


@pytest.mark.parametrize("code", [301, 307, 400, 401, 403, 404, 410, 413, 422])
async def test_other_statuses_refuse_the_event_for_good(
    world: World, receiver: Receiver, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    responses = iter([status(code, f"Location: {receiver.url}/elsewhere")])
    receiver.respond = lambda _: next(responses, OK)
    chat = await world.chat()
    await chat.emit("very private")
    await chat.emit()
    await receiver.until_accepted(1)
    assert [posted.path for posted in receiver.posted] == ["/hook", "/hook"]  # no redirect is followed
    assert receiver.accepted == [("c1", 2)]
    await world.until_nothing_waits()
    assert world.results() == [DeliveryResult.REFUSED, DeliveryResult.DELIVERED]
    [line] = [record for record in caplog.records if vars(record).get("event") == "webhook_event_lost"]
    assert (line.getMessage(), vars(line)["client"]) == (f"event refused by the webhook: status {code}", "acme")
    assert "very private" not in caplog.text


async def test_a_retry_waits_as_long_as_the_response_asks_for(world: World, receiver: Receiver) -> None:
    responses = iter([status(429, "Retry-After: 1")])
    receiver.respond = lambda _: next(responses, OK)
    await (await world.chat()).emit()
    await receiver.until_accepted(1)
    first, second = receiver.posted
    assert 0.99 <= second.at - first.at < 1.5


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    backoff = Backoff(first_seconds=1.0, most_seconds=300.0)
    for failures, expected in ((1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (5000, 300)):
        pauses = [backoff.pause(failures, 0.0) for _ in range(200)]
        assert expected * 0.75 <= min(pauses) < expected * 0.9
        assert expected * 1.1 < max(pauses) <= expected * 1.25
    assert 60 <= backoff.pause(1, 60.0) <= 66


async def test_an_event_is_given_up_after_24_hours(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit("first")
    await receiver.until_posted(3)
    world.clock.ahead = timedelta(hours=23, minutes=59)
    second = await chat.emit("second")
    tried = len(receiver.posted)
    await receiver.until_posted(tried + 3)
    assert DeliveryResult.GIVEN_UP not in world.results()
    world.clock.ahead = timedelta(hours=24, seconds=10)
    receiver.respond = lambda posted: OK if posted.event["sequence"] == 2 else status(503)
    await receiver.until_accepted(1)
    await world.until_nothing_waits()
    assert world.results().count(DeliveryResult.GIVEN_UP) == 1
    assert receiver.posted[-1].event["id"] == second.id
    assert await chat.undelivered() is None


async def test_an_old_event_of_the_run_before_is_tried_once(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    await chat.store(at=world.clock() - timedelta(hours=30))
    await chat.store(at=world.clock() - timedelta(hours=30))
    await world.sender.close()
    responses = iter([OK])
    receiver.respond = lambda _: next(responses, status(503))
    world.sender = world.make_sender()
    world.sender.start()
    await until(lambda: world.results()[-1:] == [DeliveryResult.GIVEN_UP], 5)
    assert world.results() == [DeliveryResult.DELIVERED, DeliveryResult.RETRIED, DeliveryResult.GIVEN_UP]


async def test_a_webhook_that_does_not_respond_is_retried(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.webhooks.sender.ATTEMPT_SECONDS", 0.2)
    responses = iter([HANG])
    receiver.respond = lambda _: next(responses, OK)
    await (await world.chat()).emit()
    await receiver.until_accepted(1)
    assert 0.2 <= receiver.posted[1].at - receiver.posted[0].at < 1


class OneProbe(Backoff):
    """After five attempts per chat, the first chat waits for half a second and all others for an hour."""

    probes: ClassVar[Iterator[float]] = itertools.chain([0.5], itertools.repeat(3600.0))

    def pause(self, failures: int, retry_after: float) -> float:  # noqa: ARG002 (not asked for)
        return 0.01 if failures < 5 else next(self.probes)


async def test_a_webhook_that_is_down_gets_its_events_when_it_is_back(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    world.webhooks[BOT] = Webhook(f"http://127.0.0.1:{port}/", SECRET)
    await world.sender.close()
    world.sender = world.make_sender(OneProbe())
    world.sender.start()
    chats = [await world.chat(f"c{number}") for number in range(20)]
    for chat in chats:
        await chat.emit()
        await chat.emit()
    await until(lambda: world.results().count(DeliveryResult.RETRIED) == 100, 10)
    async with receiving(port) as receiver:
        await receiver.until_accepted(40)  # the response to the probe wakes the others
    assert sorted(receiver.accepted) == sorted((f"c{number}", event) for number in range(20) for event in (1, 2))


async def test_a_failing_webhook_does_not_flood_the_log(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = iter(range(200))
    receiver.respond = lambda _: status(404) if next(numbers) % 2 else status(503)
    chat = await world.chat()
    for _ in range(30):
        await chat.emit()
    await world.until_nothing_waits(10)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 20
