"""The record of each way for a call to end without a handoff: `ended_by`, result and reason."""

from __future__ import annotations

import time

import pytest

from sipbridge.calls.endings import AGENT_ENDED, CALLER_HUNG_UP, ENDINGS, HUNG_UP_BY_API, Ending, read_leg_end
from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState

from .world import World


def test_every_ending_has_its_own_reason() -> None:
    assert len({ending.reason for ending in ENDINGS}) == len(ENDINGS)


@pytest.mark.parametrize("failure", LegFailure)
async def test_a_leg_that_breaks_during_the_conversation_was_not_ended_by_the_caller(failure: LegFailure) -> None:
    world = World()
    await world.start_conversation()
    world.leg.stack_hangs_up(408, failure)
    record = await world.finish()
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.UPSTREAM_ERROR, failure.value)
    assert world.centre.signals == []


@pytest.mark.parametrize("failure", [LegFailure.NO_ACK, LegFailure.UNUSABLE_ANSWER])
async def test_a_200_without_a_conversation_does_not_count_as_cancelled(failure: LegFailure) -> None:
    world = World()
    world.journal.when("caller.answer", lambda: world.leg.stack_hangs_up(408, failure))
    world.begin()
    record = await world.finish()
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.UPSTREAM_ERROR, failure.value)
    assert record.answered_at is None


async def test_a_bye_before_the_answer_counts_as_cancelled() -> None:
    world = World()
    world.journal.when("agent.connect", world.leg.far_end_hangs_up)
    world.begin()
    record = await world.finish()
    assert (record.ended_by, record.result, record.reason) == ("caller", Result.CLIENT_ERROR, "cancelled")


async def test_a_bye_between_the_200_and_its_ack_counts_as_hung_up() -> None:
    world = World()
    world.journal.when("caller.answer", world.leg.far_end_hangs_up)
    world.begin()
    record = await world.finish()
    assert (record.ended_by, record.result, record.reason) == ("caller", Result.SUCCESS, "caller_hung_up")
    assert record.answered_at is None


async def test_a_leg_that_breaks_during_a_handoff_confirms_nothing() -> None:
    world = World()
    world.journal.when("centre.signal", lambda: world.leg.stack_hangs_up(408, LegFailure.SESSION_EXPIRED))
    record = await world.hand_off(destination="care")
    assert record.handoff is not None
    assert (record.ended_by, record.handoff.confirmed, record.handoff.transfer) == ("bridge", False, "released")


async def test_a_leg_that_breaks_before_the_signal_fails_the_handoff() -> None:
    world = World()
    world.journal.when(
        "store.put_later handoff_initiated", lambda: world.leg.stack_hangs_up(503, LegFailure.TRANSPORT_FAILED)
    )
    record = await world.hand_off(destination="care")
    assert record.handoff is not None
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.UPSTREAM_ERROR, "transport_failed")
    assert (record.handoff.state, record.handoff.transfer) == (HandoffState.FAILED, "transport_failed")
    assert world.centre.signals == []


async def test_a_desk_that_hangs_up_ends_the_call() -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    world.journal.when("caller.join", world.desk.far_end_hangs_up)
    record = await world.hand_off(destination="desk")
    assert (record.ended_by, record.result, record.reason) == ("destination", Result.SUCCESS, "handed_off")


@pytest.mark.parametrize("ending", [AGENT_ENDED, HUNG_UP_BY_API])
async def test_the_record_says_who_ended_the_conversation(ending: Ending) -> None:
    world = World()
    await world.start_conversation()
    if ending is AGENT_ENDED:
        world.conversation.ends()
    else:
        world.call.request_hangup()
    record = await world.finish()
    assert (record.ended_by, record.result, record.reason) == (ending.by, ending.result, ending.reason)


def test_the_peers_bye_counts_as_hung_up_with_any_status() -> None:
    assert read_leg_end(LegEnd(by_peer=True, sip_status=408, at=time.monotonic(), answered=True)) is CALLER_HUNG_UP
