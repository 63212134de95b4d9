from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.events import ChatMessageRelayed
from sipbridge.chats.model import DeliveryStatus, EndRequest, HumanAgent
from sipbridge.chats.ports import ChatChange
from sipbridge.errors import ChatConflict, StoreError
from sipbridge.handoffs.record import HandoffState
from tests.chats.world import World, world

ANNA = HumanAgent(id="7", name="Anna", avatar_url="https://img.example/a.png")
BEN = HumanAgent(id="8", name="Ben")
NOW = datetime.now(UTC)


def message(text: str, message_id: str = "m1") -> h.AgentMessage:
    return h.AgentMessage(message_id, text, NOW)


async def active(w: World) -> None:
    """Start a chat and let a human agent join."""
    await w.start()
    await w.event("handoff_accepted")
    w.channel.happens(h.AgentJoined(ANNA))
    await w.event("agent_joined")


async def test_first_message_opens_the_contact_and_the_chat_is_queued() -> None:
    async with world() as w:
        await w.start(transcript=[{"role": "user", "text": "I want a person"}, {"role": "assistant", "text": "Sure"}])
        await w.event("handoff_accepted")
        assert w.session.texts == ["Customer: I want a person\nBot: Sure"]
        assert w.session.sent[0].opens
        assert (await w.record()).state == "queued"


@pytest.mark.parametrize("happening", [h.QueuePosition(position=1), h.AgentJoined(ANNA)])
async def test_contact_is_accepted_once_and_before_all_that_happens_to_it(happening: h.ChannelHappening) -> None:
    async with world() as w:
        confirmed = w.channel.fates["orders"] = asyncio.get_running_loop().create_future()
        await w.start(reason="orders")
        w.channel.happens(happening)
        await w.until(lambda: len(w.events) == 2)
        assert (await w.record()).queued_at is None
        confirmed.set_result(None)
        await w.say("Hello", "m1")
        await w.event("message_delivered")
        assert (await w.record()).queued_at is not None
        kinds = [kind for kind, _ in w.events]
        assert kinds[0] == "handoff_accepted"
        assert kinds.count("handoff_accepted") == 1


async def test_contact_that_a_human_agent_shows_is_ended_though_the_first_message_is_not_confirmed() -> None:
    async with world() as w:
        w.channel.fates["orders"] = asyncio.get_running_loop().create_future()
        await w.start(reason="orders")
        w.channel.happens(h.AgentJoined(ANNA))
        await w.event("agent_joined")
        w.channel.happens(h.ChannelFailed("channel_lost"))
        await w.event("chat_ended")
        assert w.session.ended_with == "The chat has ended."


async def test_chat_without_transcript_opens_with_utterance_reason_or_a_fixed_text() -> None:
    async with world() as w:
        await w.start(id="c1", utterance="Where is my order?", reason="orders")
        await w.start(id="c2", reason="orders")
        await w.start(id="c3")
        await w.event("handoff_accepted", 3)
        assert [s.texts for s in w.channel.sessions] == [
            ["Where is my order?"],
            ["orders"],
            ["Chat handed over by the bot."],
        ]


async def test_only_the_last_turns_are_sent_if_the_project_says_so() -> None:
    turns = [{"role": "user", "text": str(number)} for number in range(5)]
    async with world(transcript={"last": 2}) as w:
        await w.start(transcript=turns)
        await w.event("handoff_accepted")
        assert w.session.texts == ["Customer: 3\nCustomer: 4"]


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


async def test_name_and_picture_of_the_agent_are_shown_only_if_the_project_says_so() -> None:
    async with world() as w:
        await active(w)
        assert await w.event("agent_joined") == {"agent": {"id": "7"}}
        assert (await w.record()).agent == HumanAgent(id="7")
    async with world(show_agent=True) as w:
        await active(w)
        assert await w.event("agent_joined") == {
            "agent": {"id": "7", "name": "Anna", "avatar_url": "https://img.example/a.png"}
        }


async def test_chat_goes_on_after_a_transfer_and_after_the_agent_left() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(h.AgentLeft())
        w.channel.happens(h.AgentLeft())
        w.channel.happens(h.AgentJoined(BEN))
        w.channel.happens(h.AgentJoined(BEN))
        assert await w.event("agent_joined", 2) == {"agent": {"id": "8"}}
        await w.say("still there?", "b1")
        await w.event("message_delivered")
        assert [kind for kind, _ in w.events].count("agent_left") == 1
        assert (await w.record()).state == "active"


async def test_agent_that_joins_completes_the_handoff() -> None:
    async with world() as w:
        record = await w.start()
        assert record.handoff.state is HandoffState.INITIATED
        await w.event("handoff_accepted")
        w.channel.happens(h.AgentJoined(ANNA))
        await w.event("agent_joined")
        assert (await w.record()).handoff.state is HandoffState.COMPLETED
        assert (await w.record()).handoff.confirmed is True


async def test_queue_position_is_passed_on_until_an_agent_has_joined() -> None:
    async with world() as w:
        await w.start()
        await w.event("handoff_accepted")
        w.channel.happens(h.QueuePosition(position=3))
        assert await w.event("queue_status") == {"position_in_queue": 3}
        w.channel.happens(h.AgentJoined(ANNA))
        w.channel.happens(h.QueuePosition(position=1))
        w.channel.happens(message("hi"))
        await w.event("agent_message")
        assert [kind for kind, _ in w.events].count("queue_status") == 1


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
        await w.start()
        w.channel.happens(h.ChannelUnreachable("unreachable"))
        record = await w.ended()
        assert (record.state, record.reason) == ("failed", "unreachable")
        assert w.events == [("handoff_failed", {"reason": "unreachable"})]
        assert w.session.ended_with is None


async def test_channel_that_was_reached_late_is_not_a_failure_if_no_agent_joins() -> None:
    async with world(queue_timeout_seconds=0.05) as w:
        await w.start()
        w.channel.happens(h.ChannelUnreachable("unreachable"))
        record = await w.ended()
        assert (record.state, record.reason) == ("timed_out", "no_agent")
        assert w.events[-1] == ("handoff_timeout", {})


async def test_agent_who_writes_has_joined_even_if_cxone_did_not_report_it() -> None:
    async with world(queue_timeout_seconds=0.2) as w:
        await w.start()
        await w.event("handoff_accepted")
        w.channel.happens(h.AgentMessage("m0", "please wait", NOW))
        w.channel.happens(h.AgentMessage("m1", "hi", NOW, agent=ANNA))
        w.channel.happens(h.AgentJoined(ANNA))
        await w.event("agent_message", 2)
        assert [kind for kind, _ in w.events[1:]] == ["agent_message", "agent_joined", "agent_message"]
        await asyncio.sleep(0.25)
        assert (await w.record()).state == "active"


async def test_late_message_of_an_agent_who_left_is_not_a_return() -> None:
    async with world() as w:
        await active(w)
        w.channel.happens(h.AgentJoined(BEN))
        w.channel.happens(h.AgentMessage("m1", "bye", NOW, agent=ANNA))
        await w.event("agent_message")
        assert (await w.record()).agent == HumanAgent(id="8")


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

        async def fail_once(_: ChatChange) -> None:
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
    monkeypatch.setattr("sipbridge.chats.chat._RETRY_SECONDS", 0.01)
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
