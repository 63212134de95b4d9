"""Requests to a call: handoffs, ends and turns, and the order in which they count."""

from __future__ import annotations

import pytest

from sipbridge.calls.events import TurnsAdded
from sipbridge.errors import HandoffConflict, HandoffInvalid
from sipbridge.handoffs.record import Turn
from tests.calls.world import CONTACT, World


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
    assert world.call_journal.turns == {record.call_id: list(record.transcript)}
    assert all(turn.at for turn in record.transcript)
    assert record.transcript[2].at is not None
    assert record.transcript[2].at.year == 2026


async def test_the_observers_are_notified_of_new_turns_only() -> None:
    world = World()
    await world.start_conversation()
    world.call.add_turns([])
    world.call.add_turns([Turn(role="agent", text="hello")])
    (event,) = world.observer.of(TurnsAdded)
    assert [turn.text for turn in event.record.transcript] == ["hello"]
    world.leg.far_end_hangs_up()
    await world.finish()


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
