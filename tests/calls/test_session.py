"""The life of a call, up to where it is handed off."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import (
    AgentConnected,
    CallAnswered,
    HandoffStage,
    HandoffStarted,
    InviteAnswered,
)
from sipbridge.calls.model import CallState
from sipbridge.errors import AgentUnavailable, HandoffConflict, HandoffInvalid, LegEnded
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import Turn
from tests.calls.world import CONTACT, World


def _invite_answer(world: World) -> tuple[int, str]:
    answer = world.observer.one(InviteAnswered)
    assert (answer.sip_call_id, answer.call_id) == ("sip-id@trunk", world.record.call_id)
    return answer.sip_status, answer.reason


# ---------------------------------------------------------------- setting up


async def test_the_leg_is_answered_when_the_agent_is_there() -> None:
    world = World()
    await world.talking()
    assert world.journal.only("agent.connect", "caller.answer", "agent.run") == [
        "agent.connect",
        "caller.answer",
        "agent.run",
    ]
    assert world.leg.answer_headers == {"X-Sipbridge-Call-Id": world.record.call_id}
    assert world.record.state is CallState.TALKING
    assert world.record.answered_at is not None
    assert _invite_answer(world) == (200, "answered")
    assert world.observer.one(CallAnswered).setup_seconds == 0.25
    world.leg.far_end_hangs_up()
    await world.over()


async def test_the_agent_is_told_who_calls() -> None:
    world = World()
    await world.talking()
    ((identity, leg),) = world.agent.connected
    assert leg is world.leg
    assert (identity.call_id, identity.contact_id, identity.caller) == (world.record.call_id, CONTACT, "+15550100")
    world.leg.far_end_hangs_up()
    await world.over()


async def test_a_call_is_found_while_it_lasts() -> None:
    world = World()
    await world.talking()
    assert world.registry.find("acme", "billing", world.record.call_id) is world.call
    assert world.registry.find_shared("acme", "billing", CONTACT) is world.call
    world.leg.far_end_hangs_up()
    await world.over()
    assert world.registry.find("acme", "billing", world.record.call_id) is None
    assert world.registry.find_shared("acme", "billing", CONTACT) is None


async def test_an_agent_that_is_not_reached_gets_the_caller_a_480() -> None:
    world = World(on_agent_failure="reject")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    record = await world.over()
    assert world.leg.hang_ups == [480]
    assert _invite_answer(world) == (480, "agent_unavailable")
    assert (record.result, record.reason) == (Result.UPSTREAM_ERROR, "agent_unavailable")
    assert record.ended_by == "bridge"
    assert world.observer.one(AgentConnected).outcome == Outcome(Result.UPSTREAM_ERROR, "agent_unavailable")
    assert not world.centre.signals
    assert not world.observer.of(CallAnswered)


async def test_where_the_project_says_so_a_caller_without_agent_goes_to_a_human() -> None:
    world = World(on_agent_failure="handoff")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    await world.over()
    assert _invite_answer(world) == (200, "answered")
    assert (world.handoff.destination, world.handoff.reason) == ("care", "agent_unavailable")
    assert world.handoff.requested_by == "bridge"
    assert world.centre.signals[0][1]["p3"] == "agent_unavailable"


async def test_a_caller_who_gives_up_before_the_answer_is_a_487() -> None:
    world = World()
    world.journal.when("agent.connect", world.leg.far_end_hangs_up)
    world.begin()
    record = await world.over()
    assert _invite_answer(world) == (487, "cancelled")
    assert (record.result, record.reason) == (Result.CLIENT_ERROR, "cancelled")
    assert record.ended_by == "caller"
    assert record.answered_at is None
    assert not world.centre.signals


async def test_a_caller_who_gives_up_does_not_wait_for_the_agent() -> None:
    world = World()
    world.journal.hold("agent.connect")
    world.begin()
    await world.journal.until("agent.connect")
    world.leg.far_end_hangs_up()
    await world.over()


async def test_an_agent_reached_too_late_is_let_go() -> None:
    world = World()
    world.journal.when("caller.answer", world.leg.far_end_hangs_up)
    world.begin()
    await world.over()
    assert world.journal.steps.count("agent.close") == 1


@pytest.mark.parametrize("step", ["connect", "answer"])
async def test_a_fault_before_the_answer_never_answers_the_invite_with_success(step: str) -> None:
    """A 2xx as final answer of a leg that is given up would put the caller through to nobody."""
    world = World()
    if step == "connect":
        world.agent.failing = RuntimeError("a fault of the agent's code")
    else:
        world.leg.answering = RuntimeError("a fault below")
    world.begin()
    await world.over()
    (status,) = world.leg.hang_ups
    assert 400 <= status <= 699
    assert _invite_answer(world)[0] == status


async def test_an_answer_that_cannot_be_sent_is_no_cancelled_call() -> None:
    """`LegEnded` may also come from a request that PJSIP would not send; the leg is still up then."""
    world = World()
    world.leg.answering = LegEnded("the request could not be sent")
    world.begin()
    record = await world.over()
    assert all(status >= 400 for status in world.leg.hang_ups)
    assert record.reason != "cancelled"


# ---------------------------------------------------------------- conversation and its end


async def test_the_callers_bye_ends_the_agent() -> None:
    world = World()
    await world.talking()
    world.leg.far_end_hangs_up()
    record = await world.over()
    assert world.journal.only("agent.stopped", "agent.close") == ["agent.stopped", "agent.close"]
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "caller_hung_up", "caller")
    assert not world.centre.signals
    assert not world.leg.hang_ups


async def test_a_conversation_that_ends_well_is_signalled_then_ended() -> None:
    world = World()
    await world.talking()
    world.conversation.ends()
    record = await world.over()
    assert world.journal.only("agent.finish", "centre.", "caller.hang_up") == [
        "agent.finish_speaking",
        "centre.signal",
        "caller.hang_up",
    ]
    assert world.centre.signals == [(CONTACT, {"p1": "End", "p2": "agent_ended"})]
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "agent_ended", "agent")
    assert record.handoff is None


async def test_no_stage_of_a_handoff_is_reported_where_there_was_none() -> None:
    world = World()
    await world.talking()
    world.conversation.ends()
    await world.over()
    assert not world.observer.of(HandoffStarted)
    assert not world.observer.of(HandoffStage)


async def test_a_project_without_end_signal_sends_none() -> None:
    world = World(handoff={"end_signal": {}})
    await world.talking()
    world.conversation.ends()
    await world.over()
    assert not world.centre.signals
    assert world.leg.hang_ups == [200]


async def test_a_good_end_posts_its_transcript_as_contained() -> None:
    world = World(handoff={"post_transcript": True})
    await world.talking()
    world.call.add_turns([Turn(role="caller", text="good bye")])
    world.conversation.ends()
    await world.over()
    ((record, escalated),) = world.centre.transcripts
    assert not escalated
    assert [turn.text for turn in record.transcript] == ["good bye"]
    assert world.journal.only("centre.") == ["centre.post_transcript", "centre.signal"]


async def test_the_api_may_hang_up() -> None:
    world = World()
    await world.talking()
    world.call.request_hangup()
    record = await world.over()
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "hung_up_by_api", "api")
    assert world.centre.signals == [(CONTACT, {"p1": "End", "p2": "hung_up_by_api"})]


@pytest.mark.parametrize("step", ["agent.finish_speaking", "centre.signal"])
async def test_a_caller_who_leaves_in_the_goodbye_ends_it(step: str) -> None:
    world = World()
    world.journal.when(step, world.leg.far_end_hangs_up)
    await world.talking()
    world.conversation.ends()
    await world.over()
    assert not world.leg.hang_ups


async def test_a_call_over_its_time_goes_to_a_human() -> None:
    world = World()
    world.call.project_config = world.call.project_config.model_copy(update={"max_call_seconds": 0.01})
    await world.talking()
    await world.over()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "max_call_seconds")
    assert world.handoff.requested_by == "bridge"


@pytest.mark.parametrize(
    "error", [RuntimeError("the socket broke"), TimeoutError(), LegEnded("the agent's leg is gone")]
)
async def test_an_agent_lost_in_mid_call_leaves_the_caller_to_a_human(error: Exception) -> None:
    world = World()
    await world.talking()
    world.conversation.fails(error)
    await world.over()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "agent_lost")
    assert world.handoff.requested_by == "bridge"
    assert len(world.centre.signals) == 1


async def test_an_agent_that_hands_off_to_nowhere_leaves_the_caller_to_the_default() -> None:
    world = World()
    await world.talking()
    world.conversation.hands_off(destination="nowhere")
    await world.over()
    assert (world.handoff.destination, world.handoff.reason) == ("care", "invalid_handoff")


async def _falls_silent(**settings: object) -> World:
    """Live a call whose caller sends some RTP, and then no more."""
    world = World()
    changes = {"media_timeout_seconds": 0.1, **settings}
    world.call.project_config = world.call.project_config.model_copy(update=changes)
    world.leg.packets = 7
    await world.talking()
    await world.over()
    return world


async def test_a_caller_whose_audio_stops_goes_to_a_human() -> None:
    world = await _falls_silent()
    assert (world.handoff.reason, world.handoff.requested_by) == ("media_timeout", "bridge")


async def test_a_caller_whose_audio_stops_is_hung_up_on_where_the_project_says_so() -> None:
    world = await _falls_silent(on_media_timeout="hangup")
    record = world.record
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.UPSTREAM_ERROR, "media_timeout")
    assert record.handoff is None
    assert [parameters["p2"] for _, parameters in world.centre.signals] == ["media_timeout"]


async def test_a_call_that_is_cut_off_by_the_program_still_ends_its_leg_and_closes_its_record() -> None:
    """A second signal to the program cancels what runs."""
    world = World()
    await world.talking()
    assert world.task is not None
    world.task.cancel()
    await asyncio.wait([world.task])
    assert world.leg.ended.done()
    assert world.record.state is CallState.ENDED
    assert world.admission.active == 0


# ---------------------------------------------------------------- who may ask for what, and when


async def test_before_the_answer_nothing_can_be_handed_off() -> None:
    world = World()
    world.journal.hold("agent.connect")
    world.begin()
    await world.journal.until("agent.connect")
    with pytest.raises(HandoffConflict, match="not answered yet"):
        world.ask()
    world.leg.far_end_hangs_up()
    await world.over()


async def test_of_two_handoffs_the_first_wins() -> None:
    world = World()
    await world.talking()
    first = world.ask(destination="care", reason="first")
    with pytest.raises(HandoffConflict, match="already handed off"):
        world.ask(destination="sales", reason="second")
    with pytest.raises(HandoffConflict):
        world.call.request_hangup()
    assert world.record is first
    await world.over()
    assert world.handoff.reason == "first"


async def test_an_agent_that_hands_off_after_the_api_did_is_too_late() -> None:
    world = World()
    await world.talking()
    world.conversation.hands_off(reason="agent")
    world.ask(reason="api")
    await world.over()
    assert (world.handoff.reason, world.handoff.requested_by) == ("api", "api")


async def test_a_call_that_is_being_ended_is_not_handed_off() -> None:
    world = World()
    await world.talking()
    world.call.request_hangup()
    with pytest.raises(HandoffConflict, match="being ended"):
        world.ask()
    with pytest.raises(HandoffConflict):
        world.call.request_hangup()
    await world.over()


async def test_a_call_that_is_over_can_be_asked_for_nothing() -> None:
    world = World()
    await world.talking()
    world.leg.far_end_hangs_up()
    with pytest.raises(HandoffConflict, match="has ended"):
        world.ask()
    with pytest.raises(HandoffConflict, match="has ended"):
        world.call.request_hangup()
    await world.over()


async def test_a_bad_request_is_refused_and_the_call_goes_on() -> None:
    world = World()
    await world.talking()
    before = world.record
    with pytest.raises(HandoffInvalid, match="unknown destination"):
        world.ask(destination="nowhere", shared_id="else", transcript=[{"role": "agent", "text": "hello"}])
    assert world.record is before
    assert world.registry.find_shared("acme", "billing", CONTACT) is world.call
    world.ask(destination="care")
    await world.over()


async def test_a_transcript_grows_no_larger_than_a_conversation_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.transcript.MAX_CHARACTERS", 10)
    world = World()
    await world.talking()
    world.call.add_turns([Turn(role="agent", text="12345"), Turn(role="caller", text="6789")])
    with pytest.raises(HandoffInvalid, match="transcript would be over 10 characters"):
        world.call.add_turns([Turn(role="agent", text="ab")])
    world.call.add_turns([Turn(role="agent", text="a")])
    world.conversation.hands_off()
    assert len((await world.over()).transcript) == 3


async def test_turns_are_stamped_and_kept_in_their_order() -> None:
    world = World()
    await world.talking()
    world.call.add_turns([Turn(role="agent", text="hello"), Turn(role="caller", text="hi")])
    world.ask(transcript=[{"role": "agent", "text": "one moment", "at": "2026-03-01T12:00:00Z"}])
    record = await world.over()
    assert [turn.text for turn in record.transcript] == ["hello", "hi", "one moment"]
    assert all(turn.at for turn in record.transcript)
    assert record.transcript[2].at is not None
    assert record.transcript[2].at.year == 2026


async def test_a_transcript_beyond_all_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.transcript.MAX_TURNS", 2)
    world = World()
    await world.talking()
    turns = [Turn(role="agent", text="again")] * 2
    world.call.add_turns(turns)
    with pytest.raises(HandoffInvalid, match="transcript"):
        world.call.add_turns(turns[:1])
    with pytest.raises(HandoffInvalid, match="transcript"):
        world.ask(transcript=[{"role": "agent", "text": "again"}])
    assert world.record.handoff is None
    world.leg.far_end_hangs_up()
    await world.over()


async def test_a_call_that_was_still_ringing_when_the_bridge_drained_is_handed_off_once_it_is_answered() -> None:
    world = World()
    reached = world.journal.hold("agent.connect")
    world.begin()
    await world.journal.until("agent.connect")
    world.call.drain()
    reached.set()
    await world.over()
    assert (world.handoff.reason, world.handoff.requested_by) == ("draining", "bridge")
