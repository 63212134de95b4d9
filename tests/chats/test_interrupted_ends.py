"""A run of the program ends while CXone is notified of the end of a chat. The next run goes on with the same end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import EndRequest, HumanAgent
from sipbridge.errors import ChatConflict
from tests.chats.world import World, world
from tests.fakes.chat_store import FakeChatStore

ANNA = HumanAgent(id="7")
NOW = datetime.now(UTC)
SETTINGS: dict[str, dict[str, Any]] = {
    "inactivity": {"inactivity_seconds": 0.02, "inactivity_warning_seconds": None},
    "expiry": {"max_chat_seconds": 0.1},
    "queue": {"queue_timeout_seconds": 0.02},
}


async def interrupted(how: str, store: FakeChatStore | None = None) -> World:
    """Run a chat that ends in this way, until its channel begins to end the contact."""
    async with world(store, **SETTINGS.get(how, {})) as first:
        first.channel.end_held = asyncio.Event()
        await first.start()
        await first.event("handoff_accepted")
        if how != "queue":
            first.channel.happens(h.AgentJoined(ANNA))
            await first.event("agent_joined")
        if how == "channel":
            first.channel.happens(h.ChannelFailed("channel_lost"))
        if how == "bot":
            await first.live.request_end(EndRequest(by="customer", reason="solved", at=NOW))
        await first.until(lambda: first.session.ended_with is not None)
        return first


@pytest.mark.parametrize(
    ("how", "end", "closing_text"),
    [
        (
            "inactivity",
            ("chat_ended", {"by": "inactivity", "reason": "inactivity"}),
            "The customer has been inactive; this chat was closed.",
        ),
        ("expiry", ("chat_ended", {"by": "expiry", "reason": "expiry"}), "The chat has ended."),
        ("queue", ("handoff_timeout", {}), "The chat has ended."),
        ("channel", ("chat_ended", {"by": "bridge", "reason": "channel_lost"}), "The chat has ended."),
        ("bot", ("chat_ended", {"by": "customer", "reason": "solved"}), "The chat has ended."),
    ],
)
async def test_end_stays_the_same_although_cxone_reports_a_closed_contact(
    how: str, end: tuple[str, object], closing_text: str
) -> None:
    first = await interrupted(how)
    assert end not in first.events
    async with world(first.store) as second:
        second.channel.end_held = asyncio.Event()
        await second.reception.recover()
        second.channel.happens(h.ContactClosed())
        await second.until(lambda: second.session.ended_with is not None)
        second.channel.end_held.set()
        await second.ended()
        assert second.session.ended_with == closing_text
        assert second.events == [end]
        stored = await second.store.read(second.session.record.uid)
        assert stored is not None
        assert [event.sequence for event in stored.events] == list(range(1, len(stored.events) + 1))
        assert stored.record.ending is None
    async with world(first.store) as third:
        await third.reception.recover()
        assert third.reception.active == 0


async def test_end_without_its_channel_is_the_one_that_was_decided() -> None:
    first = await interrupted("expiry")
    async with world(first.store) as second:
        second.context.channels.clear()  # type: ignore[attr-defined]
        await second.reception.recover()
        assert (await second.ended()).ended_by == "expiry"
        assert second.events == [("chat_ended", {"by": "expiry", "reason": "expiry"})]


async def test_next_run_opens_no_contact_for_a_chat_that_is_over() -> None:
    async with world(queue_timeout_seconds=0.02) as first:
        first.channel.end_held = asyncio.Event()
        first.channel.fates["Chat handed over by the bot."] = asyncio.get_running_loop().create_future()
        await first.start()
        await first.until(lambda: first.session.ended_with is not None)
    async with world(first.store) as second:
        await second.reception.recover()
        await second.ended()
        assert second.session.ended_with == "The chat has ended."
        assert second.session.texts == []
        assert second.events == [("handoff_timeout", {})]


async def test_ending_chat_takes_nothing_more_from_the_bot() -> None:
    first = await interrupted("expiry")
    async with world(first.store) as second:
        second.channel.end_held = asyncio.Event()
        await second.reception.recover()
        with pytest.raises(ChatConflict):
            await second.say("hello?", "b1")


async def test_what_arrives_during_the_end_reaches_the_bot_at_once_and_is_stored_for_the_channel() -> None:
    async with world() as w:
        go_on = w.channel.end_held = asyncio.Event()
        await w.start()
        await w.event("handoff_accepted")
        await w.live.request_end(EndRequest(at=NOW))
        await w.until(lambda: w.session.ended_with is not None)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        w.channel.happens(h.ChannelStateChanged({"session": "2"}, stored))
        w.channel.happens(h.AgentMessage("m1", "one last thing", NOW))
        await w.event("agent_message")
        assert stored.done()
        assert (await w.record()).channel_state == {"session": "2"}
        go_on.set()
        await w.ended()
        assert [kind for kind, _ in w.events][-2:] == ["agent_message", "chat_ended"]


async def test_end_waits_for_cxone_only_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.session.CLOSING_SECONDS", 0.02)
    async with world() as w:
        w.channel.end_held = asyncio.Event()
        await w.start()
        await w.event("handoff_accepted")
        await w.live.request_end(EndRequest(at=NOW))
        assert (await w.ended()).ended_by == "bot"
