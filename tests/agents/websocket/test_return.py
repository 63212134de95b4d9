"""An agent that is muted, and gets its caller back."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.errors import AgentLost, LegEnded
from sipbridge.handoffs.record import HandoffState
from tests.store.records import make_handoff

from .support import FRAME, Site

RETURNED = make_handoff(state=HandoffState.FAILED, transfer="taken_back", taken_back=True)


async def test_a_muted_agent_neither_hears_nor_speaks_and_its_marks_come_back(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    assert await conversation.mute(make_handoff(requested_by="agent"))
    agent.send_audio(FRAME)
    agent.send_event("mark", mark={"name": "unheard"})
    assert (await agent.next("mark"))["mark"]["name"] == "unheard"
    site.audio.turn()
    await conversation.unmute()
    conversation.report(RETURNED)
    assert (await agent.next("handoff"))["handoff"] == {
        "id": site.call.record.call_id,
        "state": "handoff_failed",
        "reason": "taken_back",
    }
    site.audio.turn(b"\x11" * 160)
    assert await agent.next("media")
    agent.send_audio(FRAME)
    await agent.settle()
    assert site.audio.played < len(site.audio.audio)


async def test_pending_marks_come_back_when_the_agent_is_muted(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    agent.send_event("mark", mark={"name": "pending"})
    await agent.settle()
    assert agent.unread.empty()
    await conversation.mute(make_handoff(requested_by="agent"))
    await agent.settle()
    assert not agent.unread.empty()
    assert (await agent.next("mark"))["mark"]["name"] == "pending"


async def test_an_agent_that_did_not_request_the_handoff_is_notified_of_it(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="api"))
    assert (await agent.next("handoff"))["handoff"] == {
        "id": site.call.record.call_id,
        "state": "handoff_initiated",
    }


async def test_timestamps_go_on_while_the_agent_is_muted(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="agent"))
    await asyncio.sleep(0.1)
    await conversation.unmute()
    site.audio.turn()
    assert int((await agent.next("media"))["media"]["timestamp"]) >= 100


async def test_a_muted_agent_may_be_silent_for_any_time(site: Site) -> None:
    conversation, running, _ = await site.start_stream(silence_timeout_seconds=0.05)
    await conversation.mute(make_handoff(requested_by="agent"))
    done, _ = await asyncio.wait([running], timeout=0.3)
    assert not done
    await conversation.unmute()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_whose_connection_dropped_on_hold_is_notified_by_the_next_one(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="agent"))
    agent.hang_up()
    again = await site.server.accept()
    await again.begin()
    await conversation.unmute()
    conversation.report(RETURNED)
    assert (await again.next("handoff"))["handoff"]["state"] == "handoff_failed"


async def test_an_agent_without_a_stream_is_notified_once_it_has_one(site: Site) -> None:
    conversation, agent = await site.connect()
    assert not await conversation.mute(make_handoff())
    with pytest.raises(LegEnded):
        await conversation.unmute()
    conversation.report(RETURNED)
    running = asyncio.ensure_future(conversation.run(site.call))
    await agent.begin()
    assert (await agent.next("handoff"))["handoff"]["state"] == "handoff_failed"
    running.cancel()
