"""The conversation of a call, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import (
    HandoffStage,
    HandoffStarted,
)
from sipbridge.calls.model import CallState
from sipbridge.errors import LegEnded
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import Turn
from tests.calls.world import CONTACT, World


async def test_the_callers_bye_ends_the_agent() -> None:
    world = World()
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    record = await world.finish()
    assert world.journal.only("agent.stopped", "agent.close") == ["agent.stopped", "agent.close"]
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "caller_hung_up", "caller")
    assert not world.centre.signals
    assert not world.leg.hang_ups


async def test_a_good_end_sends_the_end_signal_then_bye() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.ends()
    record = await world.finish()
    assert world.journal.only("agent.finish", "centre.", "caller.hang_up") == [
        "agent.finish_speaking",
        "centre.signal",
        "caller.hang_up",
    ]
    assert world.centre.signals == [(CONTACT, {"p1": "End", "p2": "agent_ended"})]
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "agent_ended", "agent")
    assert record.handoff is None


async def test_a_call_without_a_handoff_has_no_stages() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.ends()
    await world.finish()
    assert not world.observer.of(HandoffStarted)
    assert not world.observer.of(HandoffStage)


async def test_a_project_without_end_signal_sends_none() -> None:
    world = World(handoff={"end_signal": {}})
    await world.start_conversation()
    world.conversation.ends()
    await world.finish()
    assert not world.centre.signals
    assert world.leg.hang_ups == [200]


async def test_a_good_end_posts_its_transcript_as_contained() -> None:
    world = World(handoff={"post_transcript": True})
    await world.start_conversation()
    world.call.add_turns([Turn(role="caller", text="good bye")])
    world.conversation.ends()
    await world.finish()
    ((record, escalated),) = world.centre.transcripts
    assert not escalated
    assert [turn.text for turn in record.transcript] == ["good bye"]
    assert world.journal.only("centre.") == ["centre.post_transcript", "centre.signal"]


async def test_the_api_may_hang_up() -> None:
    world = World()
    await world.start_conversation()
    world.call.request_hangup()
    record = await world.finish()
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "hung_up_by_api", "api")
    assert world.centre.signals == [(CONTACT, {"p1": "End", "p2": "hung_up_by_api"})]


@pytest.mark.parametrize(
    ("step", "by", "reason"),
    [
        ("agent.finish_speaking", "caller", "caller_hung_up"),
        # CXone's BYE after the Signal.
        ("centre.signal", "agent", "agent_ended"),
    ],
)
async def test_a_caller_who_hangs_up_during_the_end_interrupts_it(step: str, by: str, reason: str) -> None:
    world = World()
    world.journal.when(step, world.leg.far_end_hangs_up)
    await world.start_conversation()
    world.conversation.ends()
    record = await world.finish()
    assert not world.leg.hang_ups
    assert (record.ended_by, record.reason) == (by, reason)


async def test_a_call_over_max_call_seconds_is_handed_off() -> None:
    world = World()
    world.call.project_config = world.call.project_config.model_copy(update={"max_call_seconds": 0.01})
    await world.start_conversation()
    await world.finish()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "max_call_seconds")
    assert world.handoff.requested_by == "bridge"


@pytest.mark.parametrize(
    "error", [RuntimeError("the socket broke"), TimeoutError(), LegEnded("the agent's leg is gone")]
)
async def test_the_caller_is_handed_off_if_the_agent_is_lost(error: Exception) -> None:
    world = World()
    await world.start_conversation()
    world.conversation.fails(error)
    await world.finish()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "agent_lost")
    assert world.handoff.requested_by == "bridge"
    assert len(world.centre.signals) == 1


async def test_a_prompts_handoff_to_an_unknown_destination_goes_to_the_default() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.hands_off(destination="nowhere")
    await world.finish()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "invalid_handoff")


async def _caller_media_stops(**settings: object) -> World:
    """Run a call whose caller sends some RTP, and then none."""
    world = World()
    changes = {"media_timeout_seconds": 0.1, **settings}
    world.call.project_config = world.call.project_config.model_copy(update=changes)
    world.leg.packets = 7
    await world.start_conversation()
    await world.finish()
    return world


async def test_a_caller_whose_audio_stops_is_handed_off() -> None:
    world = await _caller_media_stops()
    assert (world.handoff.reason, world.handoff.requested_by) == ("media_timeout", "bridge")


async def test_a_caller_whose_audio_stops_is_hung_up_on_if_configured() -> None:
    world = await _caller_media_stops(on_media_timeout="hangup")
    record = world.record
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.UPSTREAM_ERROR, "media_timeout")
    assert record.handoff is None
    assert [parameters["p2"] for _, parameters in world.centre.signals] == ["media_timeout"]


async def test_a_cancelled_call_ends_its_leg_and_closes_its_record() -> None:
    """A second SIGTERM cancels the calls."""
    world = World()
    await world.start_conversation()
    assert world.task is not None
    world.task.cancel()
    await asyncio.wait([world.task])
    assert world.leg.ended.done()
    assert world.record.state is CallState.ENDED
    assert world.admission.active == 0
