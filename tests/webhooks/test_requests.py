"""The request of an event: its form, its signature, and the URLs that are not called."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from sipbridge.trace_context import TraceContext
from sipbridge.webhooks import DeliveryResult, Webhook

from .conftest import BOT, SECRET, World, until
from .receiver import OK, Receiver, hmac_sha256, status


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


async def test_an_event_carries_the_trace_of_its_chat_if_there_are_traces(world: World, receiver: Receiver) -> None:
    chat = await world.chat()
    await chat.emit()
    await receiver.until_accepted(1)
    world.webhooks[BOT] = replace(world.webhooks[BOT], traced=True)
    await chat.emit()
    await receiver.until_accepted(2)
    without, traced = (posted.headers for posted in receiver.posted)
    assert not without.keys() & {"traceparent", "x-traceparent"}
    assert traced["traceparent"] == traced["x-traceparent"] == TraceContext.of(chat.record.uid).traceparent


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
