from __future__ import annotations

import asyncio
import itertools
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from sipbridge.chats.model import ChatState
from sipbridge.config import ProjectKey
from sipbridge.errors import StoreError
from sipbridge.webhooks import DeliveryResult, Webhook
from sipbridge.webhooks.backoff import Backoff
from sipbridge.webhooks.chat_queue import MAX_HELD
from tests.fakes.chat_store import FakeChatStore

from .conftest import BOT, SECRET, World, make_event, until
from .receiver import HANG, OK, Receiver, hmac_sha256, receiving, status

OTHER = ProjectKey("acme", "other")


async def test_an_event_is_posted_as_json_and_signed(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    event = await chat.emit("Grüße \u2028 <b>")
    await receiver.until_accepted(1)
    [posted] = receiver.posted
    assert posted.path == "/hook"
    assert posted.event == event.model_dump(mode="json")
    assert set(posted.event) == {"id", "sequence", "chat_id", "type", "at", "payload"}
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["x-sipbridge-delivery"] == event.id
    timestamp = posted.headers["x-sipbridge-timestamp"]
    assert re.fullmatch("[0-9]+", timestamp)
    assert abs(int(timestamp) - time.time()) < 5
    signed = hmac_sha256(SECRET, timestamp.encode() + b"." + posted.body)
    assert posted.headers["x-sipbridge-signature"] == f"sha256={signed}"


async def test_the_example_in_the_documents_verifies_the_signature(world: World, receiver: Receiver) -> None:
    page = Path(__file__).parents[2].joinpath("docs/webhooks.md").read_text(encoding="utf-8")
    names: dict[str, Callable[..., bool]] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 (our own page)
    await (await world.chat()).emit()
    await receiver.until_accepted(1)
    [posted] = receiver.posted
    headers = {name.title(): value for name, value in posted.headers.items()}
    assert names["is_from_bridge"](headers, posted.body, SECRET)
    assert not names["is_from_bridge"](headers, posted.body + b" ", SECRET)
    assert not names["is_from_bridge"](headers | {"X-Sipbridge-Timestamp": "1"}, posted.body, SECRET)


async def test_the_events_of_a_chat_arrive_in_order_whatever_their_responses(world: World, receiver: Receiver) -> None:
    responses = iter([status(500), OK, status(429), status(404), OK, status(408), status(503)])
    receiver.respond = lambda _: next(responses, OK)
    chat = await world.chat()
    for _ in range(20):
        await chat.emit()
    await until(lambda: chat_is_done(world), 5)
    assert await chat.undelivered() is None
    sequences = [sequence for _, sequence in receiver.accepted]
    assert sequences == [sequence for sequence in range(1, 21) if sequence in sequences]
    assert len(sequences) == 19  # one was refused for good
    assert receiver.most_at_once == 1
    attempts = [posted.key[1] for posted in receiver.posted]
    assert attempts == sorted(attempts, key=lambda sequence: sequence or 0)


def chat_is_done(world: World) -> bool:
    return not world.sender.backlog()


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_these_statuses_are_retried(world: World, receiver: Receiver, code: int) -> None:
    responses = iter([status(code), status(code)])
    receiver.respond = lambda _: next(responses, OK)
    chat = await world.chat()
    event = await chat.emit()
    await receiver.until_accepted(1)
    assert [posted.headers["x-sipbridge-delivery"] for posted in receiver.posted] == 3 * [event.id]
    await until(lambda: chat_is_done(world), 5)
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
    await until(lambda: chat_is_done(world), 5)
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
    await until(lambda: chat_is_done(world), 5)
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


async def test_chats_take_turns(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.webhooks.lane.MAX_WORKERS", 1)
    busy, other = await world.chat("busy"), await world.chat("other")
    for _ in range(10):
        await busy.emit()
    await other.emit()
    await receiver.until_accepted(11)
    assert receiver.accepted.index(("other", 1)) <= 2


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
    await until(lambda: chat_is_done(world), 5)
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

    async def fail_first() -> object:
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
    await until(lambda: chat_is_done(world), 5)
    assert receiver.accepted == [("c1", sequence) for sequence in range(1, 121)]


async def test_an_event_that_was_read_before_it_was_published_arrives_once(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    await chat.store()
    await world.sender.close()
    world.sender = world.make_sender()
    world.sender.start()
    late = await chat.store()
    await receiver.until_accepted(2)
    await until(lambda: chat_is_done(world), 5)
    world.sender.publish(chat.record, late)
    await chat.emit()
    await receiver.until_accepted(3)
    assert receiver.accepted == [("c1", 1), ("c1", 2), ("c1", 3)]


async def test_a_typing_event_is_sent_once_between_the_others(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    chat.type()
    await chat.emit()
    chat.type()
    await receiver.until_accepted(3)
    assert [sequence for _, sequence in receiver.accepted] == [None, 1, None]
    receiver.respond = lambda _: status(503)
    chat.type()
    await until(lambda: chat_is_done(world), 5)
    assert len(receiver.posted) == 4
    assert world.results()[-1] is DeliveryResult.DROPPED


async def test_typing_before_the_first_event_of_a_chat_repeats_nothing(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    for _ in range(3):
        await chat.emit()
    await receiver.until_accepted(3)
    await until(lambda: chat_is_done(world), 5)
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
    await until(lambda: chat_is_done(world), 5)
    chat.type(at=world.clock() - timedelta(seconds=4))
    await until(lambda: world.results().count(DeliveryResult.DROPPED) == 2, 5)
    assert receiver.accepted == [("c1", 1)]


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
    await until(lambda: chat_is_done(world), 5)


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
    await until(lambda: chat_is_done(world), 5)
    receiver.close()
    await until(lambda: len(asyncio.all_tasks()) <= before, 5)
    assert not world.sender._queues  # noqa: SLF001 (memory has no other sign)


async def test_a_new_secret_and_url_apply_to_events_that_wait(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit()
    await receiver.until_posted(1)
    receiver.respond = lambda _: OK
    world.webhooks[BOT] = Webhook(receiver.url.replace("/hook", "/new?x=1"), b"another secret 12")
    await receiver.until_accepted(1)
    posted = receiver.posted[-1]
    assert posted.path == "/new?x=1"
    signed = hmac_sha256(b"another secret 12", posted.headers["x-sipbridge-timestamp"].encode() + b"." + posted.body)
    assert posted.headers["x-sipbridge-signature"] == f"sha256={signed}"


async def test_events_of_a_project_that_loses_its_webhook_are_dropped(world: World, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    chat = await world.chat()
    await chat.emit()
    await chat.emit()
    await receiver.until_posted(1)
    del world.webhooks[BOT]
    await until(lambda: chat_is_done(world), 5)
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


async def test_the_secret_is_not_shown(world: World) -> None:
    assert SECRET.decode() not in repr(world.webhooks[BOT])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://10.0.0.1/hook", "10.0.0.1 has no public address"),
        ("https://[::ffff:169.254.169.254]/hook", "has no public address"),
        ("http://hook.example/", "is plain http"),
        ("https://h\u00f6ok.example/", "is not valid"),
    ],
)
async def test_unsafe_urls_are_not_called(world: World, url: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    world.webhooks[BOT] = Webhook(url, SECRET)
    await (await world.chat()).emit()
    await until(lambda: DeliveryResult.RETRIED in world.results(), 5)
    assert why in caplog.text


async def test_private_addresses_are_called_if_they_are_allowed(world: World, receiver: Receiver) -> None:
    world.webhooks[BOT] = Webhook(receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), SECRET, True)  # noqa: FBT003 (the flag)
    await (await world.chat()).emit()
    await receiver.until_accepted(1)


async def test_a_stop_leaves_the_rest_to_the_next_start(world: World, receiver: Receiver) -> None:
    receiver.delay = lambda _: 0.3
    chat = await world.chat()
    for _ in range(10):
        await chat.emit()
    await receiver.until_posted(1)
    await world.sender.close()
    assert receiver.accepted == [("c1", 1)]  # the attempt in progress was completed
    assert await chat.undelivered() == 1


async def test_a_failing_webhook_does_not_flood_the_log(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = iter(range(200))
    receiver.respond = lambda _: status(404) if next(numbers) % 2 else status(503)
    chat = await world.chat()
    for _ in range(30):
        await chat.emit()
    await until(lambda: chat_is_done(world), 10)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 20


async def test_an_internal_error_of_one_chat_does_not_stop_the_others(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await world.chat("broken")
    event = make_event(broken.record, 1, "half a character: \ud83d", datetime.now(UTC))
    world.sender.publish(broken.record, event)
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
    world.sender._store = world.store  # noqa: SLF001 (as if the chat had been erased)
    await until(lambda: chat_is_done(world), 5)
