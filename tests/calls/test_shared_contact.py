"""Two calls of one contact: while both are in progress, it is signalled once."""

from __future__ import annotations

from sipbridge.calls.events import ContactShared, SignalWithheld
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.handoffs.record import HandoffState

from .world import World


async def two_calls() -> tuple[World, World]:
    """Two worlds that share a registry."""
    first = World()
    second = World(registry=first.registry)
    await first.start_conversation()
    await second.start_conversation()
    return first, second


async def test_the_second_call_of_a_contact_is_an_event() -> None:
    first, second = await two_calls()
    assert first.observer.of(ContactShared) == []
    assert second.observer.one(ContactShared).record.call_id == second.record.call_id
    for world in (first, second):
        world.leg.far_end_hangs_up()
        await world.finish()


async def test_while_both_are_in_progress_the_contact_is_signalled_once() -> None:
    first, second = await two_calls()
    first.request_handoff(destination="care")
    await first.finish()
    second.request_handoff(destination="care")
    record = await second.finish()
    assert (len(first.centre.signals), second.centre.signals) == (1, [])
    assert second.observer.one(SignalWithheld).purpose == "handoff"
    assert record.handoff is not None
    assert (record.handoff.signal, record.handoff.state) == ("duplicate", HandoffState.COMPLETED)
    assert record.handoff.confirmed is False


async def test_the_end_of_a_conversation_is_withheld_too() -> None:
    first, second = await two_calls()
    second.request_handoff(destination="care")
    await second.finish()
    first.conversation.ends()
    record = await first.finish()
    assert (first.centre.signals, record.reason) == ([], "agent_ended")
    assert first.observer.one(SignalWithheld).purpose == "end"


async def test_a_call_that_begins_after_the_first_is_over_is_a_new_one() -> None:
    first = World()
    await first.hand_off(destination="care")
    second = World(registry=first.registry)
    await second.hand_off(destination="care")
    assert (len(first.centre.signals), len(second.centre.signals)) == (1, 1)
    assert second.observer.of(ContactShared) == []


async def test_an_undelivered_signal_withholds_none() -> None:
    first, second = await two_calls()
    first.centre.answer = SignalResult.UNDELIVERED
    first.request_handoff(destination="care")
    await first.finish()
    second.request_handoff(destination="care")
    await second.finish()
    assert second.handoff.signal == "accepted"


async def test_after_a_crash_the_other_call_is_not_signalled() -> None:
    first, second = await two_calls()
    first.request_handoff(destination="care")
    await first.finish()
    # Really there is one journal; here the journal of the first call has the entries of the second.
    assert (second.record.call_id, SignalResult.DUPLICATE) in first.call_journal.signals
    second.leg.far_end_hangs_up()
    await second.finish()
