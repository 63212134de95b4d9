"""Take-back: the agent gets a caller back whom CXone does not take, once."""

from __future__ import annotations

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, SignalWithheld, TakeBackDone
from sipbridge.calls.milestones import milestones_of
from sipbridge.calls.model import CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import HandoffConflict
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState, Turn
from tests.calls.returning import NEVER, TAKE_BACK, end, hand_off, hold, take_back
from tests.calls.world import World

TAKEN_BACK = Outcome(Result.UPSTREAM_ERROR, "taken_back")


async def test_the_agent_gets_the_caller_back_with_the_reason() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
    assert world.record.state is CallState.TALKING
    assert (world.handoff.state, world.handoff.confirmed) == (HandoffState.FAILED, False)
    assert (world.handoff.signal, world.handoff.transfer, world.handoff.taken_back) == ("accepted", "taken_back", True)
    assert world.conversation.reported == [world.handoff]
    assert world.journal.only("agent.", "centre.signal")[2:] == [
        *("agent.finish_speaking", "agent.mute", "centre.signal", "agent.unmute", "agent.report")
    ]
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    assert world.observer.one(TakeBackDone).outcome.result is Result.SUCCESS
    record = await end(world)
    assert (record.ended_by, record.reason) == ("agent", "agent_ended")
    assert world.handoff.taken_back


async def test_the_record_of_a_take_back_is_stored_while_the_conversation_goes_on() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
    await world.journal.until("store.put handoff_failed")
    assert world.store.written[-1] == world.record
    await end(world)


async def test_the_caller_talks_to_the_agent_again() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
    world.leg.far_end_sends_digit("5")
    assert world.conversation.pressed == "5"
    world.call.add_turns([Turn(role="caller", text="Hello again.")])
    assert [turn.text for turn in (await end(world)).transcript] == ["Hello again."]


async def test_a_dtmf_digit_on_hold_is_not_for_the_agent() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    world.leg.far_end_sends_digit("5")
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.conversation.pressed == ""


async def test_take_back_is_off_by_default() -> None:
    world = World()
    await hand_off(world)
    await world.finish()
    assert not world.journal.only("agent.mute", "agent.unmute", "agent.report")
    assert "agent.stopped" in world.journal.steps
    assert world.handoff.transfer == "released"


async def test_a_caller_whose_signal_may_have_arrived_is_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.centre.answer = SignalResult.UNKNOWN
    await take_back(world)
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    await end(world)


async def test_the_fallback_of_another_method_is_taken_back_too() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world, destination="team")
    assert world.handoff.transfer == "invite_no_answer, taken_back"
    assert world.observer.one(HandoffFinished).outcome == TAKEN_BACK
    await end(world)


async def test_a_reason_of_the_agent_does_not_prevent_a_take_back() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world, reason="draining")
    assert world.handoff.taken_back
    await end(world)


async def test_hold_audio_stops_before_the_agent_is_connected_again() -> None:
    world = World(handoff=TAKE_BACK, hold_clip="clips/hold")
    world.journal.hold("caller.play hold")
    await take_back(world)
    assert world.journal.only("caller.", "agent.unmute")[-2:] == ["caller.stop hold", "agent.unmute"]
    await end(world)


async def test_a_stop_of_the_program_ends_a_call_on_hold() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    assert world.task is not None
    world.task.cancel()
    record = await world.finish()
    assert record.reason == "shut_down"
    assert world.handoff.state is HandoffState.COMPLETED


# ------------------------------------------------------------ CXone takes the caller


async def test_a_caller_whom_cxone_takes_in_time_is_not_taken_back() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    world.leg.far_end_hangs_up()
    await world.finish()
    assert (world.handoff.state, world.handoff.transfer) == (HandoffState.COMPLETED, "released_by_peer")
    assert world.conversation.told == [world.handoff]
    assert "agent.unmute" not in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_a_bye_that_comes_while_the_agent_is_connected_again_wins() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.unmute", world.leg.far_end_hangs_up)
    await hand_off(world)
    await world.finish()
    assert world.handoff.transfer == "released_by_peer"
    assert not world.observer.of(TakeBackDone)
    assert not world.conversation.reported


async def test_a_bye_after_the_take_back_ends_the_conversation() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.report", world.leg.far_end_hangs_up)
    await hand_off(world)
    record = await world.finish()
    assert world.handoff.transfer == "taken_back"
    assert (record.ended_by, record.reason) == ("caller", "caller_hung_up")


# ------------------------------------------------------------ the second handoff


async def test_a_second_handoff_goes_through_without_a_signal_and_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
    first = world.handoff
    world.request_handoff(reason="again")
    record = await world.finish()
    assert (world.handoff.reason, world.handoff.signal) == ("again", "duplicate")
    assert (world.handoff.state, world.handoff.transfer) == (HandoffState.COMPLETED, "released")
    assert record.earlier_handoff == first
    assert len(world.centre.signals) == 1
    assert world.observer.one(SignalWithheld).purpose == "handoff"
    assert world.journal.steps.count("agent.mute") == 1
    assert len(world.observer.of(TakeBackDone)) == 1


async def test_a_second_handoff_keeps_what_the_agent_sent_with_the_first() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world, utterance="One moment.", data={"ticket": "7", "mood": "calm"})
    world.request_handoff(data={"mood": "angry"})
    await world.finish()
    assert world.handoff.data == {"ticket": "7", "mood": "angry"}
    assert world.handoff.utterance == "One moment."


async def test_milestones_show_both_handoffs() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
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
    await take_back(world)
    await end(world)
    assert len(world.centre.signals) == 1
    assert world.observer.one(SignalWithheld).purpose == "end"
    assert world.handoff.signal == "accepted"
    assert world.handoff.parameters["p1"] == "care"


async def test_the_transcript_is_posted_once() -> None:
    world = World(handoff=TAKE_BACK | {"post_transcript": True})
    await take_back(world, transcript=[{"role": "caller", "text": "A human, please."}])
    world.request_handoff()
    await world.finish()
    assert len(world.centre.transcripts) == 1


async def test_stages_of_an_earlier_handoff_do_not_follow_the_end_of_a_conversation() -> None:
    world = World(handoff=TAKE_BACK)
    await take_back(world)
    before = len(world.observer.of(HandoffStage))
    await end(world)
    assert len(world.observer.of(HandoffStage)) == before


async def test_the_time_limit_of_the_conversation_counts_from_its_first_begin() -> None:
    world = World(handoff=TAKE_BACK, max_call_seconds=1)
    await take_back(world)
    record = await world.finish()
    assert world.handoff.reason == "max_call_seconds"
    assert record.answered_at is not None
    assert (world.handoff.handoff_at - record.answered_at).total_seconds() < 1.5


async def test_a_handoff_on_hold_is_refused_as_too_late() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    with pytest.raises(HandoffConflict, match="already handed off"):
        world.request_handoff()
    world.leg.far_end_hangs_up()
    await world.finish()
