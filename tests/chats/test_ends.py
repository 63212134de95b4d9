"""The ends of a chat: by either side, by a timeout, and by a failure."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.chat import Chat
from sipbridge.chats.model import DeliveryStatus, EndRequest
from sipbridge.chats.ports import ChatChange
from sipbridge.errors import ChatConflict
from sipbridge.handoffs.record import HandoffState
from tests.chats.world import BEN, NOW, active, message, world


async def test_close_by_the_agent_ends_the_chat() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(message("bye"))
        w.channel.happens(h.ContactClosed())
        record = await w.ended()
        assert (record.state, record.ended_by, record.result) == ("ended", "agent", "success")
        assert w.events[-2:] == [
            ("agent_message", {"message_id": "m1", "text": "bye", "attachments": []}),
            ("chat_ended", {"by": "agent", "reason": "closed"}),
        ]
        assert w.session.ended_with is None
        assert not w.session.running


@pytest.mark.parametrize("reason", ["closed", "released"])
async def test_contact_that_is_closed_before_a_human_agent_has_joined_is_a_failed_handoff(reason: str) -> None:
    async with world() as w:
        await w.start()
        await w.event("handoff_accepted")
        w.channel.happens(h.ContactClosed(reason))
        record = await w.ended()
        assert (record.state, record.ended_by, record.reason) == ("failed", "bridge", reason)
        assert record.result == "upstream_error"
        assert record.handoff.state is HandoffState.FAILED
        assert w.events[-1] == ("handoff_failed", {"reason": reason})
        assert w.session.ended_with is None, "CXone has closed the contact itself"


async def test_end_by_the_bot_follows_its_messages() -> None:
    async with world() as w:
        await active(w)
        slow = asyncio.get_running_loop().create_future()
        w.channel.fates["last words"] = slow
        await w.say("last words", "b1")
        await w.live.request_end(EndRequest(by="customer", reason="solved", at=NOW))
        with pytest.raises(ChatConflict):
            await w.say("too late", "b2")
        slow.set_result(None)
        record = await w.ended()
        assert (record.state, record.ended_by) == ("ended", "customer")
        assert w.session.ended_with == "The chat has ended."
        assert w.events[-2:] == [
            ("message_delivered", {"id": "b1"}),
            ("chat_ended", {"by": "customer", "reason": "solved"}),
        ]


async def test_messages_that_arrive_while_the_bot_ends_the_chat_still_reach_it() -> None:
    async with world() as w:
        await active(w)
        await w.live.request_end(EndRequest(at=NOW))
        w.channel.happens(message("one last thing"))
        await w.ended()
        assert [payload["text"] for kind, payload in w.events if kind == "agent_message"] == ["one last thing"]
        assert w.events[-1][0] == "chat_ended"


async def test_messages_that_the_agent_did_not_wait_for_are_reported() -> None:
    async with world() as w:
        await active(w)
        w.channel.fates["one"] = asyncio.get_running_loop().create_future()
        await w.say("one", "b1")
        await w.say("two", "b2")
        w.channel.happens(h.ContactClosed())
        await w.ended()
        failed = [payload for kind, payload in w.events if kind == "message_failed"]
        assert failed == [
            {"id": "b1", "delivery": "unknown", "reason": "chat_ended"},
            {"id": "b2", "delivery": "failed", "reason": "chat_ended"},
        ]


async def test_message_that_only_waited_for_a_connection_has_failed() -> None:
    async with world() as w:
        await active(w)
        w.channel.fates["one"] = asyncio.get_running_loop().create_future()
        w.channel.unsent.add("one")
        await w.say("one", "b1")
        await w.until(lambda: len(w.session.begun) == 1)
        w.channel.happens(h.ContactClosed())
        await w.ended()
        assert await w.event("message_failed") == {"id": "b1", "delivery": "failed", "reason": "chat_ended"}


async def test_message_whose_first_part_was_sent_is_in_doubt() -> None:
    async with world() as w:
        w.channel.max_characters = 5
        await active(w)
        w.channel.fates["two"] = asyncio.get_running_loop().create_future()
        w.channel.unsent.add("two")
        await w.say("one two", "b1")
        await w.until(lambda: "one " in w.session.texts)
        w.channel.happens(h.ContactClosed())
        await w.ended()
        assert (await w.event("message_failed"))["delivery"] == "unknown"


async def test_no_agent_in_time_is_a_timeout() -> None:
    async with world(queue_timeout_seconds=0.05) as w:
        await w.start()
        record = await w.ended()
        assert (record.state, record.ended_by, record.result) == ("timed_out", "bridge", "upstream_error")
        assert record.handoff.state is HandoffState.FAILED
        assert w.events[-1] == ("handoff_timeout", {})
        assert w.session.ended_with == "The chat has ended."


async def test_channel_that_is_not_reached_in_time_is_a_failure() -> None:
    async with world(queue_timeout_seconds=0.05) as w:
        w.channel.fates["Chat handed over by the bot."] = asyncio.get_running_loop().create_future()
        w.channel.unsent.add("Chat handed over by the bot.")
        await w.start()
        w.channel.happens(h.ChannelUnreachable("unreachable"))
        record = await w.ended()
        assert (record.state, record.reason) == ("failed", "unreachable")
        assert w.events == [("handoff_failed", {"reason": "unreachable"})]
        assert w.session.ended_with is None


@pytest.mark.parametrize("ends", ["bot", "queue"])
async def test_contact_of_a_first_message_that_cxone_may_have_is_ended(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.chats.session.LAST_MESSAGES_SECONDS", 0.02)
    async with world(queue_timeout_seconds=0.05 if ends == "queue" else None) as w:
        w.channel.fates["Chat handed over by the bot."] = asyncio.get_running_loop().create_future()
        await w.start()
        await w.say("and this", "b1")
        if ends == "bot":
            await w.live.request_end(EndRequest(at=NOW))
        await w.ended()
        assert w.session.ended_with == "The chat has ended."
        assert w.session.texts == []
        assert [kind for kind, _ in w.events] == [
            "message_failed",
            "chat_ended" if ends == "bot" else "handoff_timeout",
        ]


async def test_channel_that_was_reached_late_is_not_a_failure_if_no_agent_joins() -> None:
    async with world(queue_timeout_seconds=0.05) as w:
        await w.start()
        w.channel.happens(h.ChannelUnreachable("unreachable"))
        record = await w.ended()
        assert (record.state, record.reason) == ("timed_out", "no_agent")
        assert w.events[-1] == ("handoff_timeout", {})


async def test_refused_chat_fails_at_once() -> None:
    async with world() as w:
        w.channel.fates["Chat handed over by the bot."] = (DeliveryStatus.FAILED, "refused")
        await w.start()
        record = await w.ended()
        assert (record.state, record.reason) == ("failed", "refused")
        assert w.events == [("handoff_failed", {"reason": "refused"})]


async def test_channel_that_is_lost_ends_an_active_chat() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(h.ChannelFailed("channel_lost"))
        record = await w.ended()
        assert (record.state, record.ended_by, record.result) == ("ended", "bridge", "upstream_error")
        assert w.events[-1] == ("chat_ended", {"by": "bridge", "reason": "channel_lost"})


async def test_fault_of_the_bridge_ends_the_chat_and_leaves_no_gap(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        await active(w)
        write = w.store.write

        def fail_once(_: ChatChange) -> None:
            w.store.write = write  # type: ignore[method-assign]
            raise TypeError("a fault")

        w.store.write = fail_once  # type: ignore[method-assign, assignment]
        w.channel.happens(message("hi"))
        record = await w.ended()
        assert (record.state, record.ended_by, record.reason) == ("ended", "bridge", "internal_error")
        assert w.session.ended_with == "The chat has ended."
        stored = await w.store.events(record.uid, after=0)
        assert [event.sequence for event in stored] == [1, 2, 3]
        assert "a chat failed" in caplog.text


async def test_inactive_customer_is_warned_and_then_the_chat_ends() -> None:
    async with world(inactivity_seconds=0.2, inactivity_warning_seconds=0.1) as w:
        await active(w)
        await w.event("inactivity_warning")
        record = await w.ended()
        assert record.ended_by == "inactivity"
        assert w.session.ended_with == "The customer has been inactive; this chat was closed."


async def test_customer_who_writes_or_types_is_not_inactive() -> None:
    async with world(inactivity_seconds=0.3, inactivity_warning_seconds=None) as w:
        await active(w)
        for number in range(4):
            await asyncio.sleep(0.15)
            w.live.set_typing(on=bool(number % 2))
        assert (await w.record()).state == "active"


async def test_customer_who_waits_is_not_inactive() -> None:
    async with world(inactivity_seconds=0.05, inactivity_warning_seconds=None, queue_timeout_seconds=None) as w:
        await w.start()
        await w.event("handoff_accepted")
        await asyncio.sleep(0.1)
        assert (await w.record()).state == "queued"


async def test_customer_who_waits_for_another_agent_is_not_inactive() -> None:
    async with world(inactivity_seconds=0.1, inactivity_warning_seconds=0.05) as w:
        await active(w)
        w.channel.happens(h.AgentLeft())
        await w.event("agent_left")
        w.live.set_typing(on=True)
        await asyncio.sleep(0.15)
        assert [kind for kind, _ in w.events][-1] == "agent_left"
        w.channel.happens(h.AgentJoined(BEN))
        assert (await w.ended()).ended_by == "inactivity"


async def test_chat_ends_after_its_longest_time() -> None:
    async with world(max_chat_seconds=0.1) as w:
        await active(w)
        assert (await w.ended()).ended_by == "expiry"
        assert w.events[-1] == ("chat_ended", {"by": "expiry", "reason": "expiry"})


async def test_nothing_refers_to_a_chat_that_has_ended() -> None:
    async with world() as w:
        await active(w)
        assert isinstance(w.live, Chat)
        inbox = weakref.ref(w.live.inbox)  # channels refer to the chat by it
        w.channel.happens(h.ContactClosed())
        await w.ended()
        w.channel.sessions.clear()
        await asyncio.sleep(0)  # for callbacks that are scheduled already
        gc.collect()
        assert inbox() is None
