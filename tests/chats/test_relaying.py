"""Messages, typing and events between the bot and the channel."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.events import ChatMessageRelayed
from sipbridge.chats.model import DeliveryStatus
from sipbridge.errors import ChatConflict, StoreError
from tests.chats.world import active, message, world


async def test_both_sides_are_relayed_and_deliveries_reported() -> None:
    async with world() as w:
        await active(w)
        await w.say("hello", "b1")
        assert await w.event("message_delivered") == {"id": "b1"}
        w.channel.happens(message("hi there"))
        assert await w.event("agent_message") == {"message_id": "m1", "text": "hi there", "attachments": []}
        assert w.session.texts[1:] == ["hello"]


async def test_message_of_the_agent_is_relayed_once() -> None:
    async with world() as w:
        await active(w)
        for text, message_id in (("one", "m1"), ("one", "m1"), ("two", "m2"), ("one", "m1")):
            w.channel.happens(message(text, message_id))
        await w.event("agent_message", 2)
        await asyncio.sleep(0)
        assert [payload["text"] for kind, payload in w.events if kind == "agent_message"] == ["one", "two"]


async def test_same_message_of_the_bot_is_accepted_once_and_another_one_with_its_id_refused() -> None:
    async with world() as w:
        await active(w)
        await asyncio.gather(*(w.say("hello", "b1") for _ in range(3)))
        await w.event("message_delivered")
        with pytest.raises(ChatConflict):
            await w.say("other", "b1")
        assert w.session.texts[1:] == ["hello"]


async def test_messages_written_before_the_contact_exists_follow_the_first_one_in_order() -> None:
    async with world() as w:
        opened = asyncio.get_running_loop().create_future()
        w.channel.fates["Chat handed over by the bot."] = opened
        await w.start()
        for number in range(5):
            await w.say(f"text {number}", f"b{number}")
        opened.set_result(None)
        await w.event("message_delivered", 5)
        assert w.session.texts[1:] == [f"text {number}" for number in range(5)]


async def test_long_message_is_split_and_delivered_as_one() -> None:
    async with world() as w:
        w.channel.max_characters = 10
        await active(w)
        await w.say("one two three four five", "b1")
        assert await w.event("message_delivered") == {"id": "b1"}
        parts = [sent.text for sent in w.session.sent if sent.text not in "Chat handed over by the bot."]
        assert "".join(parts) == "one two three four five"
        assert all(len(part) <= 10 for part in parts)
        assert len({sent.id for sent in w.session.sent}) == len(w.session.sent)


async def test_refused_message_is_reported_and_the_chat_goes_on() -> None:
    async with world() as w:
        w.channel.fates["bad"] = (DeliveryStatus.FAILED, "refused")
        w.channel.fates["vague"] = (DeliveryStatus.UNKNOWN, "no_answer")
        await active(w)
        await w.say("bad", "b1")
        await w.say("vague", "b2")
        await w.say("good", "b3")
        await w.event("message_delivered")
        failed = [payload for kind, payload in w.events if kind == "message_failed"]
        assert failed == [
            {"id": "b1", "delivery": "failed", "reason": "refused"},
            {"id": "b2", "delivery": "unknown", "reason": "no_answer"},
        ]


async def test_message_that_fails_by_a_fault_of_ours_is_reported_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world() as w:
        w.channel.fates["odd"] = UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed")
        w.channel.fates["odder"] = TypeError("not JSON")
        w.channel.unsent.add("odd")
        await active(w)
        for number, text in enumerate(("odd", "odder", "good")):
            await w.say(text, f"b{number}")
        assert await w.event("message_delivered") == {"id": "b2"}
        failed = [payload for kind, payload in w.events if kind == "message_failed"]
        assert failed == [
            {"id": "b0", "delivery": "failed", "reason": "internal_error"},
            {"id": "b1", "delivery": "unknown", "reason": "internal_error"},
        ]
        faults = [line for line in caplog.records if line.__dict__.get("event") == "internal_error"]
        assert len(faults) == 2


async def test_typing_is_passed_on_both_ways_and_never_stored() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(h.AgentTyping(on=True))
        assert await w.event("agent_typing") == {"state": "started"}
        w.live.set_typing(on=True)
        w.live.set_typing(on=False)
        assert w.session.typing == [True, False]
        typing = [event for event in w.published if event.type == "agent_typing"]
        assert [event.sequence for event in typing] == [None]


async def test_sequences_of_events_count_without_a_gap() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(h.AgentTyping(on=True))
        w.channel.happens(message("hi"))
        w.channel.happens(h.ContactClosed())
        await w.ended()
        stored = await w.store.events((await w.record()).uid, after=0)
        assert [event.sequence for event in stored] == list(range(1, len(stored) + 1))
        assert [event.type for event in stored] == [event.type for event in w.published if event.sequence]


async def test_message_that_cannot_be_stored_is_refused_and_can_be_sent_again() -> None:
    async with world() as w:
        await active(w)
        w.store.failing = StoreError("the disk is full")
        with pytest.raises(StoreError):
            await w.say("hello", "b1")
        w.store.failing = None
        await w.say("hello", "b1")
        await w.event("message_delivered")
        assert w.session.texts[1:] == ["hello"]


async def test_message_of_the_agent_waits_for_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.01)
    async with world() as w:
        await active(w)
        w.store.failing = StoreError("the disk is full")
        w.channel.happens(message("hi"))
        await asyncio.sleep(0.05)
        assert ("agent_message" in dict(w.events)) is False
        w.store.failing = None
        await w.event("agent_message")


async def test_relayed_messages_are_observed() -> None:
    async with world() as w:
        await active(w)
        await w.say("hello", "b1")
        await w.event("message_delivered")
        w.channel.happens(message("hi"))
        await w.event("agent_message")
        await asyncio.sleep(0)
        relayed = [each for each in w.telemetry if isinstance(each, ChatMessageRelayed)]
        assert [(each.direction, each.status.value) for each in relayed] == [
            ("to_agent", "delivered"),
            ("to_bot", "delivered"),
        ]
