"""The first message of a chat, the queue, and the human agents that join."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import HumanAgent
from sipbridge.handoffs.record import HandoffState
from tests.chats.world import ANNA, BEN, NOW, active, message, world


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


async def test_agent_who_is_reported_again_with_another_name_has_not_joined_again() -> None:
    async with world(show_agent=True, inactivity_seconds=0.3, inactivity_warning_seconds=None) as w:
        await active(w)
        for agent in (HumanAgent(id=ANNA.id), ANNA) * 6:  # for longer than the inactivity that ends the chat
            w.channel.happens(h.AgentJoined(agent))
            await asyncio.sleep(0.04)
        kinds = [kind for kind, _ in w.events]
        assert (kinds.count("agent_joined"), kinds[-1]) == (1, "chat_ended")
        assert (await w.ended()).ended_by == "inactivity"


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
