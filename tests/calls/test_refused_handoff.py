"""An agent that gives up right after a refused handoff does not lose its caller."""

from __future__ import annotations

import pytest

from sipbridge.calls import call as call_module
from sipbridge.calls.events import AgentFault
from sipbridge.errors import HandoffConflict
from sipbridge.handoffs.outcome import Result

from .world import World

WHY = "unknown destination; use one of care"


async def refused() -> World:
    world = World()
    await world.start_conversation()
    world.call.note_refused_handoff("refer_refused", WHY)
    return world


@pytest.mark.parametrize("by", ["agent", "api"])
async def test_a_caller_whose_handoff_was_refused_goes_to_the_default_destination(by: str) -> None:
    world = await refused()
    if by == "agent":
        world.conversation.ends()
    else:
        world.call.request_hangup()
    record = await world.finish()
    assert (world.handoff.destination, world.handoff.reason, world.handoff.requested_by) == (
        "care",
        "invalid_handoff",
        "bridge",
    )
    assert record.ended_by == "bridge"
    assert [parameters["p3"] for _, parameters in world.centre.signals] == ["invalid_handoff"]


async def test_an_agent_that_goes_on_after_a_refusal_may_end_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "REFUSED_SECONDS", 0.0)
    world = await refused()
    world.conversation.ends()
    record = await world.finish()
    assert (record.result, record.reason, record.handoff) == (Result.SUCCESS, "agent_ended", None)


async def test_a_valid_second_request_is_carried_out() -> None:
    world = await refused()
    world.conversation.hands_off(destination="sales")
    await world.finish()
    assert (world.handoff.destination, world.handoff.reason) == ("sales", "sales")


async def test_a_caller_who_hangs_up_after_a_refusal_is_not_handed_off() -> None:
    world = await refused()
    world.leg.far_end_hangs_up()
    record = await world.finish()
    assert (record.ended_by, record.handoff) == ("caller", None)
    assert world.centre.signals == []


async def test_a_refusal_is_an_event_with_a_reason() -> None:
    world = await refused()
    fault = world.observer.one(AgentFault)
    assert (fault.fault, fault.reason) == ("refer_refused", WHY)
    world.conversation.ends()
    await world.finish()


async def test_a_conflict_does_not_count_as_a_refusal() -> None:
    world = World()
    await world.start_conversation()
    world.request_handoff(destination="quiet")
    with pytest.raises(HandoffConflict):
        world.request_handoff(destination="care")
    await world.finish()
    assert world.handoff.destination == "quiet"
