"""Take-back: the agent gets a caller back whom CXone does not take, once."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, SignalWithheld, TakeBackDone
from sipbridge.calls.milestones import milestones_of
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import HandoffConflict, LegEnded
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState, Turn
from tests.calls.world import World

TAKE_BACK = {"take_back_seconds": 0.02}
NEVER = {"take_back_seconds": 60}
TAKEN_BACK = Outcome(Result.UPSTREAM_ERROR, "taken_back")


async def _take_back(world: World, **request: object) -> None:
    """Hand off, and return when the agent has the caller again."""
    await world.start_conversation()
    world.request_handoff(**request)
    await world.journal.until("agent.report")


async def _hold(world: World) -> None:
    """Hand off, and return when CXone has the Signal and the agent is muted."""
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until("centre.signal")
    await asyncio.sleep(0)


async def _end(world: World) -> CallRecord:
    """Let the agent end the conversation."""
    world.conversation.ends()
    return await world.finish()


async def test_the_agent_gets_the_caller_back_with_the_reason() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    assert world.record.state is CallState.TALKING
    assert (world.handoff.state, world.handoff.confirmed) == (HandoffState.FAILED, False)
    assert (world.handoff.signal, world.handoff.transfer, world.handoff.taken_back) == ("accepted", "taken_back", True)
    assert world.conversation.reported == [world.handoff]
    assert world.journal.only("agent.", "centre.signal")[2:] == [
        *("agent.finish_speaking", "agent.mute", "centre.signal", "agent.unmute", "agent.report")
    ]
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    assert world.observer.one(TakeBackDone).outcome.result is Result.SUCCESS
    record = await _end(world)
    assert (record.ended_by, record.reason) == ("agent", "agent_ended")
    assert record.handoff is not None
    assert record.handoff.taken_back


async def test_the_record_of_a_take_back_is_stored_while_the_conversation_goes_on() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    await world.journal.until("store.put handoff_failed")
    assert world.store.written[-1] == world.record
    await _end(world)


async def test_the_caller_talks_to_the_agent_again() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    world.leg.far_end_sends_digit("5")
    assert world.conversation.pressed == "5"
    world.call.add_turns([Turn(role="caller", text="Hello again.")])
    assert [turn.text for turn in (await _end(world)).transcript] == ["Hello again."]


async def test_a_dtmf_digit_on_hold_is_not_for_the_agent() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    world.leg.far_end_sends_digit("5")
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.conversation.pressed == ""


async def test_take_back_is_off_by_default() -> None:
    world = World()
    await world.start_conversation()
    world.request_handoff()
    record = await world.finish()
    assert not world.journal.only("agent.mute", "agent.unmute", "agent.report")
    assert "agent.stopped" in world.journal.steps
    assert record.handoff is not None
    assert record.handoff.transfer == "released"


# ------------------------------------------------------------ CXone takes the caller


async def test_a_caller_whom_cxone_takes_in_time_is_not_taken_back() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    world.leg.far_end_hangs_up()
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.transfer) == (HandoffState.COMPLETED, "released_by_peer")
    assert world.conversation.told == [record.handoff]
    assert "agent.unmute" not in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_a_bye_that_comes_while_the_agent_is_connected_again_wins() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.unmute", world.leg.far_end_hangs_up)
    await world.start_conversation()
    world.request_handoff()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "released_by_peer"
    assert not world.observer.of(TakeBackDone)
    assert not world.conversation.reported


async def test_a_bye_after_the_take_back_ends_the_conversation() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.report", world.leg.far_end_hangs_up)
    await world.start_conversation()
    world.request_handoff()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "taken_back"
    assert (record.ended_by, record.reason) == ("caller", "caller_hung_up")


# ------------------------------------------------------------ the second handoff


async def test_a_second_handoff_goes_through_without_a_signal_and_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    first = world.handoff
    world.request_handoff(reason="again")
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.reason, record.handoff.signal) == ("again", "duplicate")
    assert (record.handoff.state, record.handoff.transfer) == (HandoffState.COMPLETED, "released")
    assert record.earlier_handoff == first
    assert len(world.centre.signals) == 1
    assert world.observer.one(SignalWithheld).purpose == "handoff"
    assert world.journal.steps.count("agent.mute") == 1
    assert len(world.observer.of(TakeBackDone)) == 1


async def test_a_second_handoff_keeps_what_the_agent_sent_with_the_first() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world, utterance="One moment.", data={"ticket": "7", "mood": "calm"})
    world.request_handoff(data={"mood": "angry"})
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.data == {"ticket": "7", "mood": "angry"}
    assert record.handoff.utterance == "One moment."


async def test_milestones_show_both_handoffs() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    world.request_handoff()
    found = milestones_of(await world.finish())
    assert [(each.sequence, each.previous, each.type.value) for each in found] == [
        (1, 0, "call.started"),
        (2, 1, "call.answered"),
        (3, 2, "handoff.started"),
        (4, 3, "handoff.taken_back"),
        (5, 4, "handoff.started"),
        (6, 5, "handoff.finished"),
        (7, 6, "call.ended"),
    ]


async def test_the_end_of_the_conversation_is_not_signalled_after_a_take_back() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    record = await _end(world)
    assert len(world.centre.signals) == 1
    assert world.observer.one(SignalWithheld).purpose == "end"
    assert record.handoff is not None
    assert record.handoff.signal == "accepted"
    assert record.handoff.parameters["p1"] == "care"


async def test_the_transcript_is_posted_once() -> None:
    world = World(handoff=TAKE_BACK | {"post_transcript": True})
    await _take_back(world, transcript=[{"role": "caller", "text": "A human, please."}])
    world.request_handoff()
    await world.finish()
    assert len(world.centre.transcripts) == 1


async def test_stages_of_an_earlier_handoff_do_not_follow_the_end_of_a_conversation() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world)
    before = len(world.observer.of(HandoffStage))
    await _end(world)
    assert len(world.observer.of(HandoffStage)) == before


async def test_the_time_limit_of_the_conversation_counts_from_its_first_begin() -> None:
    world = World(handoff=TAKE_BACK, max_call_seconds=1)
    await _take_back(world)
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.reason == "max_call_seconds"
    assert record.answered_at is not None
    assert (record.handoff.handoff_at - record.answered_at).total_seconds() < 1.5


async def test_a_handoff_on_hold_is_refused_as_too_late() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    with pytest.raises(HandoffConflict, match="already handed off"):
        world.request_handoff()
    world.leg.far_end_hangs_up()
    await world.finish()


# ------------------------------------------------------------ handoffs that are not taken back


async def test_an_agent_that_leaves_on_hold_does_not_get_its_caller_back() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    world.conversation.ends()
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.transfer, record.ended_by) == ("released", "bridge")
    assert "agent.unmute" not in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_a_caller_whom_cxone_takes_after_the_agent_has_left_counts_as_no_take_back() -> None:
    world = World(handoff=NEVER | {"release_grace_seconds": 5})
    await _hold(world)
    world.conversation.ends()
    for _ in range(10):
        await asyncio.sleep(0)
    world.leg.far_end_hangs_up()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "released_by_peer"
    assert not world.observer.of(TakeBackDone)


@pytest.mark.parametrize("error", [LegEnded("the agent has hung up"), RuntimeError("broken")])
async def test_an_agent_that_cannot_be_connected_again_does_not_get_its_caller_back(error: Exception) -> None:
    world = World(handoff=TAKE_BACK)
    world.conversation.unmuting = error
    await world.start_conversation()
    world.request_handoff()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "released"
    assert world.observer.one(TakeBackDone).outcome.result is Result.UPSTREAM_ERROR


async def test_an_agent_that_cannot_be_kept_is_released_as_without_take_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.conversation.stays = False
    await world.start_conversation()
    world.request_handoff()
    await world.finish()
    assert "agent.stopped" in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_an_agent_that_has_left_with_its_handoff_is_not_kept() -> None:
    world = World(handoff=TAKE_BACK)
    await world.hand_off()
    assert "agent.mute" not in world.journal.steps


@pytest.mark.parametrize("answer", [SignalResult.REFUSED, SignalResult.UNDELIVERED])
async def test_a_caller_whose_signal_had_no_effect_goes_to_the_script_at_once(answer: SignalResult) -> None:
    world = World(handoff=NEVER)
    world.centre.answer = answer
    await world.start_conversation()
    world.request_handoff()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "released"


async def test_a_caller_whose_signal_may_have_arrived_is_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.centre.answer = SignalResult.UNKNOWN
    await _take_back(world)
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    await _end(world)


async def test_a_handoff_without_a_signal_is_not_taken_back() -> None:
    world = World(handoff=NEVER | {"default": "quiet"})
    await world.start_conversation()
    world.request_handoff()
    await world.finish()
    assert "agent.mute" not in world.journal.steps


async def test_the_fallback_of_another_method_is_taken_back_too() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world, destination="team")
    assert world.handoff.transfer == "invite_no_answer, taken_back"
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    await _end(world)


async def test_a_bridge_that_drains_gives_no_caller_back() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    world.call.drain()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.transfer == "released"


async def test_a_handoff_by_the_drain_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    await world.start_conversation()
    world.call.drain()
    await _is_released(world, "draining")


async def test_a_call_that_the_drain_found_ringing_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("caller.answer", world.call.drain)
    world.begin()
    await _is_released(world, "draining")


async def test_a_handoff_by_the_time_limit_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK, max_call_seconds=1)
    await world.start_conversation()
    await _is_released(world, "max_call_seconds")


async def test_a_handoff_of_a_caller_without_audio_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK, media_timeout_seconds=0.1, on_media_timeout="handoff")
    await world.start_conversation()
    world.leg.packets = 7
    await _is_released(world, "media_timeout")


async def test_a_caller_who_would_come_back_after_the_time_limit_is_not_taken_back() -> None:
    world = World(handoff={"take_back_seconds": 30}, max_call_seconds=20)
    await world.start_conversation()
    world.request_handoff(reason="asked")
    await _is_released(world, "asked")


async def test_a_reason_of_the_agent_does_not_prevent_a_take_back() -> None:
    world = World(handoff=TAKE_BACK)
    await _take_back(world, reason="draining")
    assert world.handoff.taken_back
    await _end(world)


@pytest.mark.parametrize("command", ["drain", "yield_to_rescuer"])
async def test_a_bridge_that_stops_while_the_agent_is_connected_again_gives_no_caller_back(command: str) -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.unmute", getattr(world.call, command))
    await world.start_conversation()
    world.request_handoff(reason="asked")
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.reason, record.handoff.transfer) == ("asked", "released")
    assert record.earlier_handoff is None
    assert not world.observer.of(TakeBackDone)


async def _is_released(world: World, reason: str) -> None:
    """Wait for the end of a handoff for this reason, which the agent does not notice."""
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.reason, record.handoff.transfer) == (reason, "released")
    assert "agent.mute" not in world.journal.steps


async def test_hold_audio_stops_before_the_agent_is_connected_again() -> None:
    world = World(handoff=TAKE_BACK, hold_clip="clips/hold")
    world.journal.hold("caller.play hold")
    await _take_back(world)
    assert world.journal.only("caller.", "agent.unmute")[-2:] == ["caller.stop hold", "agent.unmute"]
    await _end(world)


async def test_a_stop_of_the_program_ends_a_call_on_hold() -> None:
    world = World(handoff=NEVER)
    await _hold(world)
    assert world.task is not None
    world.task.cancel()
    record = await world.finish()
    assert record.reason == "shut_down"
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.COMPLETED
