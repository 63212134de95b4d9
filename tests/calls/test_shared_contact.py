"""Two calls of one contact: while both are in progress, it is signalled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sipbridge.calls.events import ContactShared, SignalWithheld
from sipbridge.calls.ports.cxone import SignalNote, SignalResult
from sipbridge.calls.signal import Signal
from sipbridge.handoffs.record import HandoffState
from sipbridge.store.journal.entries import OpenCalls
from sipbridge.store.journal.journal import FileJournal
from tests.fakes import FakeCentre

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


async def test_a_crash_at_the_first_byte_leaves_no_other_call_of_the_contact_to_be_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.store.journal.journal.LAZY_SECONDS", 60.0)
    first, second = await two_calls()
    journal, left = FileJournal(tmp_path / "journal"), OpenCalls()
    for world in (first, second):
        await journal.begin(world.call.record, {})

    class Centre(FakeCentre):
        async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
            await note(SignalResult.UNKNOWN)
            for line in (tmp_path / "journal").read_bytes().splitlines():
                left.add_line(line)
            return await super().signal(contact_id, parameters, note)

    context = replace(first.call.context, journal=journal, centres={"acme": Centre(first.journal)})
    assert await Signal(context, first.call.record, {}).send() is SignalResult.ACCEPTED
    assert [call.needs_signal for call in left.unfinished()] == [False, False]
    await journal.close()
    for world in (first, second):
        world.leg.far_end_hangs_up()
        await world.finish()


async def test_a_call_that_rang_while_its_contact_was_signalled_is_journalled_as_such_before_its_answer() -> None:
    first = World()
    await first.start_conversation()
    second = World(registry=first.registry)
    connected = second.journal.hold("agent.connect")
    second.begin()
    await second.journal.until("agent.connect")
    first.request_handoff(destination="care")
    await first.finish()
    connected.set()
    await second.journal.until("agent.run")
    steps = second.journal.steps
    assert steps.index("journal.signalled duplicate") == steps.index("journal.begin") + 1
    assert steps.index("journal.signalled duplicate") < steps.index("caller.answer")
    second.leg.far_end_hangs_up()
    await second.finish()
