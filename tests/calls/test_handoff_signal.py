"""The Signal of a handoff: its parameters, and its result if the handoff is cut off."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, SignalAttempted, SignalSent
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import CONTACT, World, pop_url


def _sent(world: World) -> dict[str, str]:
    ((contact, parameters),) = world.centre.signals
    assert contact == CONTACT
    return dict(parameters)


async def test_the_signal_follows_the_projects_templates() -> None:
    world = World()
    await world.hand_off(reason="billing")
    assert _sent(world) == {"p1": "care", "p2": "10000002", "p3": "billing", "p9": pop_url(world.record)}
    assert world.handoff.parameters == _sent(world)


async def test_the_agents_parameters_win_over_the_templates() -> None:
    world = World()
    await world.hand_off(parameters={"p1": "mine", "p2": "", "p5": {"a": 1}})
    sent = _sent(world)
    assert (sent["p1"], sent["p5"]) == ("mine", '{"a":1}')
    assert "p2" not in sent


@pytest.mark.parametrize(
    ("answer", "outcome", "confirmed"),
    [
        (SignalResult.ACCEPTED, Outcome(Result.INDETERMINATE, "unconfirmed"), HandoffState.COMPLETED),
        (SignalResult.REFUSED, Outcome(Result.CLIENT_ERROR, "signal_refused"), HandoffState.FAILED),
        (SignalResult.UNDELIVERED, Outcome(Result.UPSTREAM_ERROR, "signal_undelivered"), HandoffState.FAILED),
        (SignalResult.UNKNOWN, Outcome(Result.INDETERMINATE, "signal_unknown"), HandoffState.FAILED),
    ],
)
async def test_a_signal_is_sent_once_whatever_its_result_and_the_transfer_follows(
    answer: SignalResult, outcome: Outcome, confirmed: HandoffState
) -> None:
    world = World()
    world.centre.answer = answer
    record = await world.hand_off()
    assert len(world.centre.signals) == 1
    assert world.leg.hang_ups == [200]
    assert world.handoff.signal == answer.value
    assert (world.handoff.state, world.handoff.confirmed) == (confirmed, False)
    assert world.observer.one(HandoffFinished).outcome == outcome
    assert (record.result, record.reason) == (outcome.result, outcome.reason)


@pytest.mark.parametrize("destination", ["quiet", "carrier", "desk"])
async def test_a_destination_with_signal_false_sends_none(destination: str) -> None:
    world = World()
    world.journal.when("dial", lambda: world.desk.far_end_rejects(486))
    await world.hand_off(destination=destination)
    assert not world.centre.signals
    assert world.handoff.signal == "none"
    assert "signal" not in {event.stage for event in world.observer.of(HandoffStage)}


async def test_the_callers_bye_does_not_interrupt_a_signal() -> None:
    world = World()
    let_go = world.journal.hold("centre.signal")
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until("centre.signal")
    world.leg.far_end_hangs_up()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not world.observer.of(SignalSent)
    let_go.set()
    await world.finish()
    assert world.observer.one(SignalSent).outcome.result is Result.SUCCESS


@pytest.mark.parametrize(("step", "signal"), [("token", "undelivered"), ("journal.signalling", "undelivered")])
async def test_a_handoff_interrupted_before_the_first_byte_of_its_signal_has_sent_none(step: str, signal: str) -> None:
    world = await _cut_off_in(step)
    assert (world.handoff.signal, world.handoff.state) == (signal, HandoffState.FAILED)
    assert world.handoff.parameters["p1"] == "care"


async def test_a_signal_interrupted_while_its_response_is_awaited_is_unknown_and_keeps_its_parameters() -> None:
    world = await _cut_off_in("centre.signal")
    assert (world.handoff.signal, world.handoff.state) == ("unknown", HandoffState.FAILED)
    assert world.handoff.parameters["p1"] == "care"
    assert world.observer.one(SignalSent).outcome == Outcome(Result.INDETERMINATE, "signal_unknown")


async def test_a_handoff_interrupted_after_an_accepted_signal_is_completed_and_not_confirmed() -> None:
    world = await _cut_off_in("caller.hang_up")
    assert (world.handoff.signal, world.handoff.state) == ("accepted", HandoffState.COMPLETED)
    assert world.handoff.confirmed is False


async def _cut_off_in(step: str) -> World:
    """A second SIGTERM, or a fault, ends the call during a stage."""
    world = World()
    held = world.journal.hold(step)
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until(step)
    assert world.task is not None
    world.task.cancel()
    held.set()
    assert (await world.finish()).reason == "shut_down"
    return world


async def test_the_journal_has_the_parameters_before_the_first_byte() -> None:
    world = World()
    await world.hand_off()
    (record,) = world.call_journal.signalling_records
    assert record.handoff is not None
    assert record.handoff.parameters == _sent(world)


async def test_a_signal_that_was_sent_once_reports_no_attempts() -> None:
    world = World()
    await world.hand_off()
    assert world.observer.of(SignalAttempted) == []


async def test_each_attempt_is_reported_if_there_were_several() -> None:
    world = World()
    world.centre.failed_attempts = 2
    await world.hand_off()
    reasons = [event.outcome.reason for event in world.observer.of(SignalAttempted)]
    assert reasons == ["signal_undelivered", "signal_undelivered", "accepted"]
    sent = world.observer.one(SignalSent)
    assert sum(event.seconds for event in world.observer.of(SignalAttempted)) <= sent.seconds
