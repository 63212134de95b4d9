"""A call from its INVITE to its handoff."""

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


async def test_the_caller_is_answered_once_the_agent_is_connected() -> None:
    world = World()
    await world.start_conversation()
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
    await world.finish()


async def test_the_agent_gets_the_identity_of_the_call() -> None:
    world = World()
    await world.start_conversation()
    ((identity, leg),) = world.agent.connected
    assert leg is world.leg
    assert (identity.call_id, identity.contact_id, identity.caller) == (world.record.call_id, CONTACT, "+15550100")
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_a_call_is_found_while_it_is_in_progress() -> None:
    world = World()
    await world.start_conversation()
    assert world.registry.find("acme", "billing", world.record.call_id) is world.call
    assert world.registry.find_shared("acme", "billing", CONTACT) is world.call
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.registry.find("acme", "billing", world.record.call_id) is None
    assert world.registry.find_shared("acme", "billing", CONTACT) is None


async def test_without_an_agent_the_caller_gets_480() -> None:
    world = World(on_agent_failure="reject")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    record = await world.finish()
    assert world.leg.hang_ups == [480]
    assert _invite_answer(world) == (480, "agent_unavailable")
    assert (record.result, record.reason) == (Result.UPSTREAM_ERROR, "agent_unavailable")
    assert record.ended_by == "bridge"
    assert world.observer.one(AgentConnected).outcome == Outcome(Result.UPSTREAM_ERROR, "agent_unavailable")
    assert not world.centre.signals
    assert not world.observer.of(CallAnswered)


async def test_without_an_agent_the_caller_is_handed_off_if_configured() -> None:
    world = World(on_agent_failure="handoff")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    await world.finish()
    assert _invite_answer(world) == (200, "answered")
    assert (world.handoff.destination, world.handoff.reason) == ("care", "agent_unavailable")
    assert world.handoff.requested_by == "bridge"
    assert world.centre.signals[0][1]["p3"] == "agent_unavailable"


async def test_a_caller_who_gives_up_before_the_answer_gets_487() -> None:
    world = World()
    world.journal.when("agent.connect", world.leg.far_end_hangs_up)
    world.begin()
    record = await world.finish()
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
    await world.finish()


async def test_an_agent_connected_too_late_is_released() -> None:
    world = World()
    world.journal.when("caller.answer", world.leg.far_end_hangs_up)
    world.begin()
    await world.finish()
    assert world.journal.steps.count("agent.close") == 1


@pytest.mark.parametrize("step", ["connect", "answer"])
async def test_a_failure_before_the_answer_never_results_in_a_2xx(step: str) -> None:
    """A 2xx as the final response of a failed call would connect the caller to nothing."""
    world = World()
    if step == "connect":
        world.agent.failing = RuntimeError("a fault of the agent's code")
    else:
        world.leg.answering = RuntimeError("a fault below")
    world.begin()
    await world.finish()
    (status,) = world.leg.hang_ups
    assert 400 <= status <= 699
    assert _invite_answer(world)[0] == status


async def test_an_answer_that_cannot_be_sent_does_not_count_as_cancelled() -> None:
    """`LegEnded` may also mean that PJSIP did not send a request; the leg has not ended then."""
    world = World()
    world.leg.answering = LegEnded("the request could not be sent")
    world.begin()
    record = await world.finish()
    assert all(status >= 400 for status in world.leg.hang_ups)
    assert record.reason != "cancelled"


# ---------------------------------------------------------------- conversation and its end


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


# ---------------------------------------------------------------- requests, and their order


async def test_a_handoff_before_the_answer_is_refused() -> None:
    world = World()
    world.journal.hold("agent.connect")
    world.begin()
    await world.journal.until("agent.connect")
    with pytest.raises(HandoffConflict, match="not answered yet"):
        world.request_handoff()
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_the_first_of_two_handoffs_wins() -> None:
    world = World()
    await world.start_conversation()
    first = world.request_handoff(destination="care", reason="first")
    with pytest.raises(HandoffConflict, match="already handed off"):
        world.request_handoff(destination="sales", reason="second")
    with pytest.raises(HandoffConflict):
        world.call.request_hangup()
    assert world.record is first
    await world.finish()
    assert world.handoff.reason == "first"


async def test_an_agent_that_hands_off_after_the_api_did_is_too_late() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.hands_off(reason="agent")
    world.request_handoff(reason="api")
    await world.finish()
    assert (world.handoff.reason, world.handoff.requested_by) == ("api", "api")


async def test_a_call_whose_end_is_decided_is_not_handed_off() -> None:
    world = World()
    await world.start_conversation()
    world.call.request_hangup()
    with pytest.raises(HandoffConflict, match="being ended"):
        world.request_handoff()
    with pytest.raises(HandoffConflict):
        world.call.request_hangup()
    await world.finish()


async def test_an_ended_call_refuses_every_request() -> None:
    world = World()
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    with pytest.raises(HandoffConflict, match="has ended"):
        world.request_handoff()
    with pytest.raises(HandoffConflict, match="has ended"):
        world.call.request_hangup()
    await world.finish()


async def test_a_bad_request_is_refused_and_the_call_goes_on() -> None:
    world = World()
    await world.start_conversation()
    before = world.record
    with pytest.raises(HandoffInvalid, match="unknown destination"):
        world.request_handoff(destination="nowhere", shared_id="else", transcript=[{"role": "agent", "text": "hello"}])
    assert world.record is before
    assert world.registry.find_shared("acme", "billing", CONTACT) is world.call
    world.request_handoff(destination="care")
    await world.finish()


async def test_a_transcript_with_too_many_characters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.transcript.MAX_CHARACTERS", 10)
    world = World()
    await world.start_conversation()
    world.call.add_turns([Turn(role="agent", text="12345"), Turn(role="caller", text="6789")])
    with pytest.raises(HandoffInvalid, match="transcript would be over 10 characters"):
        world.call.add_turns([Turn(role="agent", text="ab")])
    world.call.add_turns([Turn(role="agent", text="a")])
    world.conversation.hands_off()
    assert len((await world.finish()).transcript) == 3


async def test_turns_are_stamped_and_kept_in_their_order() -> None:
    world = World()
    await world.start_conversation()
    world.call.add_turns([Turn(role="agent", text="hello"), Turn(role="caller", text="hi")])
    world.request_handoff(transcript=[{"role": "agent", "text": "one moment", "at": "2026-03-01T12:00:00Z"}])
    record = await world.finish()
    assert [turn.text for turn in record.transcript] == ["hello", "hi", "one moment"]
    assert all(turn.at for turn in record.transcript)
    assert record.transcript[2].at is not None
    assert record.transcript[2].at.year == 2026


async def test_a_transcript_with_too_many_turns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.transcript.MAX_TURNS", 2)
    world = World()
    await world.start_conversation()
    turns = [Turn(role="agent", text="again")] * 2
    world.call.add_turns(turns)
    with pytest.raises(HandoffInvalid, match="transcript"):
        world.call.add_turns(turns[:1])
    with pytest.raises(HandoffInvalid, match="transcript"):
        world.request_handoff(transcript=[{"role": "agent", "text": "again"}])
    assert world.record.handoff is None
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_a_call_that_rings_while_the_bridge_drains_is_handed_off_once_answered() -> None:
    world = World()
    reached = world.journal.hold("agent.connect")
    world.begin()
    await world.journal.until("agent.connect")
    world.call.drain()
    reached.set()
    await world.finish()
    assert (world.handoff.reason, world.handoff.requested_by) == ("draining", "bridge")
