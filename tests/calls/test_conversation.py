"""Agents and callers during a conversation."""

from __future__ import annotations

import pytest

from sipbridge.calls.events import AgentFault
from sipbridge.calls.model import CallState
from sipbridge.errors import AgentLost, HandoffConflict, HandoffInvalid
from sipbridge.handoffs.request import HandoffRequest
from tests.calls.world import World


async def test_an_agent_may_hand_off_and_go_on_speaking() -> None:
    world = World()
    world.journal.hold("agent.finish_speaking")
    await world.start_conversation()
    assert world.conversation.call is not None
    world.conversation.call.request_handoff(HandoffRequest(destination="quiet"), requested_by="agent")
    await world.journal.until("agent.finish_speaking")
    assert "agent.stopped" not in world.journal.steps
    world.journal.hold("agent.finish_speaking").set()
    record = await world.finish()
    assert record.handoff is not None
    assert record.handoff.requested_by == "agent"
    assert world.journal.only("agent.") == [
        "agent.connect",
        "agent.run",
        "agent.finish_speaking",
        "agent.stopped",
        "agent.close",
    ]


async def test_an_invalid_handoff_is_refused_to_the_agent_and_the_call_goes_on() -> None:
    world = World()
    await world.start_conversation()
    assert world.conversation.call is not None
    with pytest.raises(HandoffInvalid):
        world.conversation.call.request_handoff(HandoffRequest(destination="nowhere"), requested_by="agent")
    assert world.record.state is CallState.TALKING
    world.leg.far_end_hangs_up()
    assert (await world.finish()).handoff is None


async def test_checking_a_handoff_changes_nothing() -> None:
    world = World()
    await world.start_conversation()
    before = world.record
    world.call.check_handoff(HandoffRequest(destination="sales"))
    with pytest.raises(HandoffInvalid):
        world.call.check_handoff(HandoffRequest(route="sip:joe@203.0.113.9"))
    assert world.record is before
    assert not world.call.decided.done()
    world.leg.far_end_hangs_up()
    await world.finish()
    with pytest.raises(HandoffConflict):
        world.call.check_handoff(HandoffRequest())


async def test_a_fault_of_the_agent_is_an_event() -> None:
    world = World()
    await world.start_conversation()
    world.call.note_fault("bad_json", "a message is no JSON")
    fault = world.observer.one(AgentFault)
    assert (fault.agent_type, fault.fault, fault.record.call_id) == ("prompt", "bad_json", world.record.call_id)
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_the_caller_of_a_lost_agent_goes_to_a_human_agent() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.fails(AgentLost("silent"))
    record = await world.finish()
    assert record.handoff is not None
    assert (record.handoff.reason, record.handoff.requested_by) == ("agent_lost", "bridge")
    assert len(world.centre.signals) == 1


async def test_the_agent_is_notified_of_the_handoffs_outcome() -> None:
    world = World()
    await world.hand_off(destination="carrier")
    (told,) = world.conversation.told
    assert told is not None
    assert (told.destination, told.confirmed) == ("carrier", True)


async def test_an_agent_whose_caller_hangs_up_is_notified_of_no_handoff() -> None:
    world = World()
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.conversation.told == [None]


async def test_the_agent_is_released_while_the_caller_talks_to_a_human_agent() -> None:
    world = World()
    await world.start_conversation()
    world.desk.far_end_answers()
    world.conversation.hands_off(destination="desk")
    await world.journal.until("agent.close")
    assert not world.leg.ended.done()
    assert not world.desk.ended.done()
    world.desk.far_end_hangs_up()
    await world.finish()


# ---------------------------------------------------------------- DTMF digits


async def test_dtmf_digits_go_to_the_agent() -> None:
    world = World()
    await world.start_conversation()
    for digit in "12#":
        world.leg.far_end_sends_digit(digit)
    assert world.conversation.pressed == "12#"
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_the_configured_dtmf_digit_hands_off() -> None:
    world = World(handoff={"dtmf_key": "0"})
    await world.start_conversation()
    world.leg.far_end_sends_digit("1")
    world.leg.far_end_sends_digit("0")
    world.leg.far_end_sends_digit("0")
    record = await world.finish()
    assert world.conversation.pressed == "1"
    assert record.handoff is not None
    assert (record.handoff.reason, record.handoff.requested_by, record.handoff.destination) == ("dtmf", "dtmf", "care")


async def test_a_call_accepts_the_api_keys_of_the_version_it_began_with() -> None:
    world = World(api_keys=["key-of-billing"])
    await world.start_conversation()
    assert world.call.accepts_key("key-of-billing")
    assert not world.call.accepts_key("key-of-nobody")
    world.conversation.hands_off()
    await world.finish()
