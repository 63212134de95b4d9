"""The record of a call that was recovered after a crash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.calls.events import CallRecovered, RecordRecovered
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovery import recover
from sipbridge.errors import CallTakenOver, StoreError
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState, Turn
from tests.calls.recovering import open_call, recovered_call, requested_handoff
from tests.calls.world import CONTACT, World


async def test_the_agents_data_is_kept_for_the_human_agent() -> None:
    world = World(handoff={"signal": {"p1": "{destination}", "p4": "{data.ticket}", "p5": "{headers.X-Line}"}})
    talking = open_call(world)
    await world.store.put(talking.model_copy(update={"handoff": requested_handoff(), "state": CallState.HANDING_OFF}))
    record = await recovered_call(world, Unfinished(talking, {"X-Line": "gold"}))
    assert world.centre.signals == [(CONTACT, {"p1": "care", "p4": "7", "p5": "gold"})]
    assert record.handoff is not None
    assert (record.shared_id, record.handoff.data) == ("ticket-7", {"ticket": "7"})
    assert record.handoff.utterance == "One moment."


TURNS = (Turn(role="agent", text="Hello"), Turn(role="caller", text="My lamp is broken"))


@pytest.mark.parametrize(("in_journal", "in_store"), [(2, 0), (2, 1), (1, 2)])
async def test_the_answer_and_all_turns_are_kept(in_journal: int, in_store: int) -> None:
    world = World()
    answered_at = datetime.now(UTC)
    talking = open_call(world, answered_at=answered_at, transcript=TURNS[:in_journal])
    if in_store:
        handing_off = talking.changed(handoff=requested_handoff(), state=CallState.HANDING_OFF)
        await world.store.put(handing_off.changed(transcript=TURNS[:in_store]))
    record = await recovered_call(world, Unfinished(talking, {}))
    assert record.answered_at == answered_at
    assert record.transcript == TURNS


async def test_a_call_that_is_open_only_in_the_journal_is_not_changed() -> None:
    world = World()
    over = open_call(world, state=CallState.ENDED, reason="handed_off")
    await world.store.put(over)
    await recover([Unfinished(open_call(world), {})], world.call.context)
    assert world.store.written == [over]
    assert world.centre.signals == []


async def test_a_record_that_was_not_stored_is_stored_again() -> None:
    world = World()
    over = open_call(world, state=CallState.ENDED, reason="handed_off")
    await recover([Unfinished(over, {})], world.call.context)
    assert world.store.written == [over]
    assert world.centre.signals == []


async def test_the_events_of_a_record_are_reported_by_the_node_whose_record_stands() -> None:
    world = World()
    over = open_call(world, state=CallState.ENDED, reason="handed_off")
    await recover([Unfinished(over, {})], world.call.context)
    assert world.observer.one(RecordRecovered).record == over
    world.store.failing = CallTakenOver("record refused")
    world.call_journal.open[over.call_id] = None
    await recover([Unfinished(over, {})], world.call.context)
    assert len(world.observer.of(RecordRecovered)) == 1
    assert world.call_journal.open == {}


async def test_with_a_failing_store_the_contact_is_signalled_and_the_journal_keeps_the_record() -> None:
    world = World()
    world.store.failing = StoreError("locked")
    await recover([Unfinished(open_call(world), {})], world.call.context)
    assert len(world.centre.signals) == 1
    assert [record.state for record in world.call_journal.unstored_records] == [CallState.ENDED]


async def test_a_record_erased_during_the_recovery_does_not_come_back() -> None:
    world = World()
    talking = open_call(world)
    await world.store.put(talking.model_copy(update={"handoff": requested_handoff(), "state": CallState.HANDING_OFF}))
    world.call_journal.open[talking.call_id] = None
    world.journal.when("centre.signal", world.store.written.clear)
    await recover([Unfinished(talking, {})], world.call.context)
    assert len(world.centre.signals) == 1
    assert world.store.written == []
    assert world.call_journal.open == {}


async def test_a_handoff_in_which_the_caller_hung_up_before_its_signal_has_failed() -> None:
    world = World()
    began = open_call(world)
    await world.store.put(began.model_copy(update={"handoff": requested_handoff(), "state": CallState.HANDING_OFF}))
    over = began.model_copy(update={"ended_by": "caller", "ended_at": datetime.now(UTC)})
    await recover([Unfinished(over, {})], world.call.context)
    assert world.centre.signals == []
    handoff = world.store.written[-1].handoff
    assert handoff is not None
    assert (handoff.state, handoff.signal, handoff.data) == (HandoffState.FAILED, "none", {"ticket": "7"})


async def test_a_handoff_that_the_bridge_ended_without_its_signal_is_undelivered() -> None:
    """For example as no claim was to be had. The parameters show that it had tried to."""
    world = World()
    handoff = requested_handoff().model_copy(update={"parameters": {"p1": "care"}})
    over = open_call(world, state=CallState.HANDING_OFF, handoff=handoff, ended_by="bridge", ended_at=datetime.now(UTC))
    await recover([Unfinished(over, {})], world.call.context)
    assert world.centre.signals == []
    record = world.store.written[-1]
    assert (record.result, record.handoff and record.handoff.signal) == (Result.UPSTREAM_ERROR, "undelivered")
    assert world.observer.one(CallRecovered).outcome.reason == "signal_undelivered"


@pytest.mark.parametrize(
    ("method", "ended_by", "confirmed"),
    [("release", "caller", True), ("release", None, False), ("release", "bridge", False), ("refer", "caller", False)],
)
async def test_cxones_bye_after_an_accepted_signal_confirms_the_handoff(
    method: str,
    ended_by: str | None,
    confirmed: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    world = World()
    handoff = requested_handoff().model_copy(update={"method": method, "parameters": {"p1": "care"}})
    ended_at = datetime.now(UTC) if ended_by else None
    call = open_call(world, handoff=handoff, ended_by=ended_by, ended_at=ended_at)
    in_store = handoff.model_copy(update={"parameters": {}})
    await world.store.put(call.model_copy(update={"handoff": in_store, "ended_by": None, "ended_at": None}))
    await recover([Unfinished(call, {}, SignalResult.ACCEPTED)], world.call.context)
    kept = world.store.written[-1].handoff
    assert kept is not None
    assert (kept.state, kept.confirmed) == (HandoffState.COMPLETED, confirmed)
    assert kept.parameters == {"p1": "care"}, "only the journal had them"


# ------------------------------------------------------------ after a take-back

FIRST_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _returned(world: World, **changes: object) -> CallRecord:
    """The record of a caller whom the agent got back."""
    first = requested_handoff().changed(
        handoff_at=FIRST_AT,
        state=HandoffState.FAILED,
        signal="accepted",
        parameters={"p1": "sales"},
        transfer="taken_back",
        taken_back=True,
    )
    return open_call(world, **{"handoff": first, "state": CallState.TALKING, **changes})


def _again(first: CallRecord, **changes: object) -> CallRecord:
    """The record of a second handoff of that caller."""
    second = requested_handoff().changed(handoff_at=FIRST_AT + timedelta(minutes=1), **changes)
    return first.changed(state=CallState.HANDING_OFF, handoff=second, earlier_handoff=first.handoff)


def _outcome(record: CallRecord) -> tuple[str, HandoffState, Result | None]:
    assert record.handoff is not None
    return record.handoff.signal, record.handoff.state, record.result


async def test_a_crash_in_a_second_handoff_does_not_count_as_the_success_of_the_first() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(_again(first, signal="duplicate", parameters={"p1": "second"}))
    record = await recovered_call(world, Unfinished(_again(first), {}, SignalResult.ACCEPTED))
    assert world.centre.signals == []
    assert _outcome(record) == ("duplicate", HandoffState.FAILED, Result.INDETERMINATE)
    assert record.handoff is not None
    assert record.handoff.parameters == {"p1": "second"}
    assert record.earlier_handoff == first.handoff
    assert world.observer.one(CallRecovered).outcome.reason == "signalled_before"


async def test_a_second_handoff_that_only_the_journal_knows_is_kept() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(first)
    record = await recovered_call(world, Unfinished(_again(first), {}, SignalResult.ACCEPTED))
    assert record.earlier_handoff == first.handoff
    assert _outcome(record) == ("duplicate", HandoffState.FAILED, Result.INDETERMINATE)


async def test_a_second_handoff_that_only_the_store_knows_has_no_parameters_of_the_first() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(_again(first))
    journalled = first.changed(handoff=requested_handoff().changed(handoff_at=FIRST_AT, parameters={"p1": "sales"}))
    record = await recovered_call(world, Unfinished(journalled, {}, SignalResult.ACCEPTED))
    assert record.handoff is not None
    assert record.handoff.parameters == {}
    assert record.earlier_handoff == first.handoff


async def test_a_crash_in_the_conversation_after_a_take_back_is_indeterminate() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(first)
    journalled = first.changed(handoff=requested_handoff().changed(handoff_at=FIRST_AT))
    record = await recovered_call(world, Unfinished(journalled, {}, SignalResult.ACCEPTED))
    assert _outcome(record) == ("accepted", HandoffState.FAILED, Result.INDETERMINATE)
    assert record.handoff == first.handoff


@pytest.mark.parametrize("is_second", [False, True])
async def test_a_contact_whose_record_alone_has_a_signal_is_not_signalled_again(*, is_second: bool) -> None:
    """The claim of that Signal could not be made, and a rescuer has no journal."""
    world = World()
    first = _returned(world)
    await world.store.put(_again(first) if is_second else first)
    record = await recovered_call(world, Unfinished(open_call(world), {}))
    assert world.centre.signals == []
    assert record.result is Result.INDETERMINATE
    assert world.observer.one(CallRecovered).outcome.reason == "signalled_before"


async def test_a_contact_whose_signal_did_not_arrive_by_its_record_is_signalled() -> None:
    world = World()
    handoff = requested_handoff().changed(signal="undelivered", state=HandoffState.INITIATED)
    await world.store.put(open_call(world, handoff=handoff, state=CallState.HANDING_OFF))
    await recovered_call(world, Unfinished(open_call(world), {}))
    assert len(world.centre.signals) == 1
