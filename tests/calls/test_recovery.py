from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sipbridge.aio import cancel_and_wait
from sipbridge.calls import recovery
from sipbridge.calls.events import CallRecovered, SignalSent
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovery import recover
from sipbridge.errors import StoreError
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn
from tests.calls.world import CONTACT, World
from tests.fakes import FakeCentre


def _record(world: World, **changes: object) -> CallRecord:
    return world.call.record.model_copy(update={"started_at": datetime.now(UTC), **changes})


def _requested_handoff() -> HandoffRecord:
    fields: dict[str, Any] = {
        "state": HandoffState.INITIATED,
        "shared_id": "ticket-7",
        "destination": "sales",
        "method": "refer",
        "reason": "wants_to_buy",
        "requested_by": "agent",
        "utterance": "One moment.",
        "data": {"ticket": "7"},
        "handoff_at": datetime.now(UTC),
    }
    return HandoffRecord(**fields)


async def _recovered(world: World, call: Unfinished) -> CallRecord:
    world.call_journal.open[call.record.call_id] = None
    await recover([call], world.call.context)
    assert world.call_journal.open == {}
    record = world.store.written[-1]
    assert (record.state, record.reason, record.ended_by) == (CallState.ENDED, HandoffReason.RESTARTED, "bridge")
    return record


async def test_a_contact_in_conversation_is_signalled_once_to_the_default_destination() -> None:
    world = World()
    record = await _recovered(world, Unfinished(_record(world), {}))
    assert world.centre.signals == [
        (
            CONTACT,
            {
                "p1": "care",
                "p2": "10000002",
                "p3": HandoffReason.RESTARTED,
                "p9": f"https://bridge.example/pop/{record.call_id}",
            },
        )
    ]
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.signal) == (HandoffState.COMPLETED, "accepted")
    assert (record.handoff.confirmed, record.handoff.requested_by) == (False, "bridge")
    assert record.result is Result.SUCCESS
    assert world.observer.one(SignalSent).purpose == "restart"
    recovered = world.observer.one(CallRecovered)
    assert (recovered.record, recovered.interrupted.handoff) == (record, None)


async def test_the_record_and_the_journal_are_written_before_the_signal() -> None:
    world = World()
    await _recovered(world, Unfinished(_record(world), {}))
    assert world.journal.only("store", "journal", "centre") == [
        "store.put handoff_initiated",
        "journal.signalling",
        "centre.signal",
        "journal.signalled accepted",
        "store.put ended",
        "journal.stored",
    ]


@pytest.mark.parametrize(
    ("signal", "state"),
    [
        (SignalResult.ACCEPTED, HandoffState.COMPLETED),
        (SignalResult.UNKNOWN, HandoffState.FAILED),
        (SignalResult.REFUSED, HandoffState.FAILED),
    ],
)
async def test_a_contact_whose_signal_had_begun_is_not_signalled_again(
    signal: SignalResult, state: HandoffState
) -> None:
    world = World()
    begun = _record(world, handoff=_requested_handoff(), state=CallState.HANDING_OFF)
    record = await _recovered(world, Unfinished(begun, {}, signal))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.signal, record.handoff.destination) == (state, signal.value, "sales")


async def test_the_agents_data_is_kept_for_the_human_agent() -> None:
    world = World(handoff={"signal": {"p1": "{destination}", "p4": "{data.ticket}", "p5": "{headers.X-Line}"}})
    talking = _record(world)
    await world.store.put(talking.model_copy(update={"handoff": _requested_handoff(), "state": CallState.HANDING_OFF}))
    record = await _recovered(world, Unfinished(talking, {"X-Line": "gold"}))
    assert world.centre.signals == [(CONTACT, {"p1": "care", "p4": "7", "p5": "gold"})]
    assert record.handoff is not None
    assert (record.shared_id, record.handoff.data) == ("ticket-7", {"ticket": "7"})
    assert record.handoff.utterance == "One moment."


TURNS = (Turn(role="agent", text="Hello"), Turn(role="caller", text="My lamp is broken"))


@pytest.mark.parametrize(("in_journal", "in_store"), [(2, 0), (2, 1), (1, 2)])
async def test_the_answer_and_all_turns_are_kept(in_journal: int, in_store: int) -> None:
    world = World()
    answered_at = datetime.now(UTC)
    talking = _record(world, answered_at=answered_at, transcript=TURNS[:in_journal])
    if in_store:
        handing_off = talking.changed(handoff=_requested_handoff(), state=CallState.HANDING_OFF)
        await world.store.put(handing_off.changed(transcript=TURNS[:in_store]))
    record = await _recovered(world, Unfinished(talking, {}))
    assert record.answered_at == answered_at
    assert record.transcript == TURNS


async def test_a_contact_that_is_too_old_is_not_signalled() -> None:
    world = World(max_call_seconds="60")
    old = _record(world, started_at=datetime.now(UTC) - timedelta(seconds=61), handoff=_requested_handoff())
    record = await _recovered(world, Unfinished(old, {}))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.FAILED
    assert world.observer.one(CallRecovered).outcome.reason == "too_old"


async def test_a_contact_of_a_removed_project_is_not_signalled() -> None:
    world = World()
    await _recovered(world, Unfinished(_record(world, project="gone"), {}))
    assert world.centre.signals == []
    assert world.observer.one(CallRecovered).outcome.reason == "project_gone"


async def test_a_default_destination_with_signal_false_is_not_signalled() -> None:
    world = World(handoff={"default": "desk"})
    record = await _recovered(world, Unfinished(_record(world), {}))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.FAILED


async def test_an_undelivered_signal_is_sent_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(recovery, "TRIES", 3)
    world = World()
    world.centre.answer = SignalResult.UNDELIVERED
    record = await _recovered(world, Unfinished(_record(world), {}))
    assert len(world.centre.signals) == 3
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.signal) == (HandoffState.FAILED, "undelivered")


async def test_a_client_whose_cxone_is_down_delays_no_other_client() -> None:
    world = World()
    context = world.call.context
    healthy, down = world.centre, FakeCentre(world.journal)
    down.answer = SignalResult.UNDELIVERED
    clients = {**context.config.clients, "down": context.config.clients["acme"]}
    context = replace(
        context,
        config=context.config.model_copy(update={"clients": clients}),
        centres={"acme": healthy, "down": down},
    )
    calls = [Unfinished(_record(world, call_id=f"down-{n}", client="down"), {}) for n in range(recovery.AT_ONCE + 5)]
    recovering = asyncio.create_task(recover([*calls, Unfinished(_record(world), {})], context))
    try:
        async with asyncio.timeout(recovery.PAUSE_SECONDS / 2):
            await world.journal.until("journal.signalled accepted")
    finally:
        await cancel_and_wait(recovering)


async def test_a_signal_in_progress_is_awaited_when_the_bridge_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "AT_ONCE", 1)
    world = World()
    world.centre.answer = SignalResult.UNDELIVERED
    answers = world.journal.hold("centre.signal")
    call = _record(world)
    waiting = _record(world, call_id="its turn has not come")
    recovering = asyncio.create_task(recover([Unfinished(call, {}), Unfinished(waiting, {})], world.call.context))
    await world.journal.until("centre.signal")
    stopping = asyncio.create_task(cancel_and_wait(recovering))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stopping.done()
    answers.set()
    await stopping
    assert world.call_journal.open[call.call_id] is SignalResult.UNDELIVERED, "so the next start may send it again"


async def test_a_call_that_is_open_only_in_the_journal_is_not_changed() -> None:
    world = World()
    over = _record(world, state=CallState.ENDED, reason="handed_off")
    await world.store.put(over)
    await recover([Unfinished(_record(world), {})], world.call.context)
    assert world.store.written == [over]
    assert world.centre.signals == []


async def test_a_record_that_was_not_stored_is_stored_again() -> None:
    world = World()
    over = _record(world, state=CallState.ENDED, reason="handed_off")
    await recover([Unfinished(over, {})], world.call.context)
    assert world.store.written == [over]
    assert world.centre.signals == []


async def test_with_a_failing_store_the_contact_is_signalled_and_the_journal_keeps_the_record() -> None:
    world = World()
    world.store.failing = StoreError("locked")
    await recover([Unfinished(_record(world), {})], world.call.context)
    assert len(world.centre.signals) == 1
    assert [record.state for record in world.call_journal.unstored_records] == [CallState.ENDED]


async def test_a_record_erased_during_the_recovery_does_not_come_back() -> None:
    world = World()
    talking = _record(world)
    await world.store.put(talking.model_copy(update={"handoff": _requested_handoff(), "state": CallState.HANDING_OFF}))
    world.call_journal.open[talking.call_id] = None
    world.journal.when("centre.signal", world.store.written.clear)
    await recover([Unfinished(talking, {})], world.call.context)
    assert len(world.centre.signals) == 1
    assert world.store.written == []
    assert world.call_journal.open == {}


async def test_a_call_that_cannot_be_recovered_stops_no_other() -> None:
    world = World()
    world.journal.when("store.put handoff_initiated", _fail)
    calls = [Unfinished(_record(world, call_id=name), {}) for name in ("call-1", "call-2")]
    await recover(calls, world.call.context)
    assert len(world.centre.signals) == 1


def _fail() -> None:
    raise RuntimeError("a fault of ours")


@pytest.mark.parametrize(
    ("number", "lines"),
    [
        (0, [("DEBUG", "recovery began: 0 open calls"), ("DEBUG", "recovery ended: 0 open calls")]),
        (1, [("WARNING", "recovery began: 1 open call"), ("INFO", "recovery ended: 1 open call")]),
        (2, [("WARNING", "recovery began: 2 open calls"), ("INFO", "recovery ended: 2 open calls")]),
    ],
)
async def test_a_recovery_is_logged_if_there_are_open_calls(
    number: int, lines: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="sipbridge")
    world = World()
    calls = [Unfinished(_record(world, call_id=f"call-{each}"), {}) for each in range(number)]
    await recover(calls, world.call.context)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == lines


# ---------------------------------------------------------------- calls that were over


async def test_a_contact_whose_call_had_ended_is_not_signalled() -> None:
    world = World()
    began = _record(world)
    over = began.model_copy(update={"ended_by": "caller", "ended_at": began.started_at + timedelta(seconds=7)})
    world.call_journal.open[began.call_id] = None
    await recover([Unfinished(over, {})], world.call.context)
    assert world.centre.signals == []
    record = world.store.written[-1]
    assert (record.state, record.ended_by, record.reason) == (CallState.ENDED, "caller", "caller_hung_up")
    assert record.ended_at == over.ended_at
    assert world.observer.one(CallRecovered).outcome.reason == "hung_up_before"
    assert world.call_journal.open == {}


async def test_a_contact_whose_bye_may_not_have_been_sent_is_not_signalled_and_is_indeterminate() -> None:
    world = World()
    began = _record(world)
    ending = began.model_copy(update={"ended_by": "agent", "ended_at": began.started_at + timedelta(seconds=7)})
    world.call_journal.open[began.call_id] = None
    await recover([Unfinished(ending, {}, bye_unknown=True)], world.call.context)
    assert world.centre.signals == []
    record = world.store.written[-1]
    assert (record.state, record.ended_by, record.ended_at) == (CallState.ENDED, "agent", ending.ended_at)
    assert (record.result, record.reason) == (Result.INDETERMINATE, "bridge_restarted")
    assert world.observer.one(CallRecovered).outcome.reason == "bye_unknown"
    assert world.call_journal.open == {}


async def test_a_handoff_in_which_the_caller_hung_up_before_its_signal_has_failed() -> None:
    world = World()
    began = _record(world)
    await world.store.put(began.model_copy(update={"handoff": _requested_handoff(), "state": CallState.HANDING_OFF}))
    over = began.model_copy(update={"ended_by": "caller", "ended_at": datetime.now(UTC)})
    await recover([Unfinished(over, {})], world.call.context)
    assert world.centre.signals == []
    handoff = world.store.written[-1].handoff
    assert handoff is not None
    assert (handoff.state, handoff.signal, handoff.data) == (HandoffState.FAILED, "none", {"ticket": "7"})


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
    handoff = _requested_handoff().model_copy(update={"method": method, "parameters": {"p1": "care"}})
    ended_at = datetime.now(UTC) if ended_by else None
    call = _record(world, handoff=handoff, ended_by=ended_by, ended_at=ended_at)
    in_store = handoff.model_copy(update={"parameters": {}})
    await world.store.put(call.model_copy(update={"handoff": in_store, "ended_by": None, "ended_at": None}))
    await recover([Unfinished(call, {}, SignalResult.ACCEPTED)], world.call.context)
    kept = world.store.written[-1].handoff
    assert kept is not None
    assert (kept.state, kept.confirmed) == (HandoffState.COMPLETED, confirmed)
    assert kept.parameters == {"p1": "care"}, "only the journal had them"


async def test_two_calls_of_one_contact_get_one_signal() -> None:
    world = World()
    calls = [Unfinished(_record(world, call_id=call_id), {}) for call_id in ("one", "two")]
    await recover(calls, world.call.context)
    assert len(world.centre.signals) == 1
    signals = {record.call_id: record.handoff.signal for record in world.store.written if record.handoff}
    assert sorted(signals.values()) == ["accepted", "duplicate"]


async def test_a_call_whose_contact_was_signalled_through_another_is_not_signalled() -> None:
    world = World()
    await recover([Unfinished(_record(world), {}, SignalResult.DUPLICATE)], world.call.context)
    assert world.centre.signals == []


# ------------------------------------------------------------ after a take-back


FIRST_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _returned(world: World, **changes: object) -> CallRecord:
    """The record of a caller whom the agent got back."""
    first = _requested_handoff().changed(
        handoff_at=FIRST_AT,
        state=HandoffState.FAILED,
        signal="accepted",
        parameters={"p1": "sales"},
        transfer="taken_back",
        taken_back=True,
    )
    return _record(world, **{"handoff": first, "state": CallState.TALKING, **changes})


def _again(first: CallRecord, **changes: object) -> CallRecord:
    """The record of a second handoff of that caller."""
    second = _requested_handoff().changed(handoff_at=FIRST_AT + timedelta(minutes=1), **changes)
    return first.changed(state=CallState.HANDING_OFF, handoff=second, earlier_handoff=first.handoff)


def _outcome(record: CallRecord) -> tuple[str, HandoffState, Result | None]:
    assert record.handoff is not None
    return record.handoff.signal, record.handoff.state, record.result


async def test_a_crash_in_a_second_handoff_does_not_count_as_the_success_of_the_first() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(_again(first, signal="duplicate", parameters={"p1": "second"}))
    record = await _recovered(world, Unfinished(_again(first), {}, SignalResult.ACCEPTED))
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
    record = await _recovered(world, Unfinished(_again(first), {}, SignalResult.ACCEPTED))
    assert record.earlier_handoff == first.handoff
    assert _outcome(record) == ("duplicate", HandoffState.FAILED, Result.INDETERMINATE)


async def test_a_second_handoff_that_only_the_store_knows_has_no_parameters_of_the_first() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(_again(first))
    journalled = first.changed(handoff=_requested_handoff().changed(handoff_at=FIRST_AT, parameters={"p1": "sales"}))
    record = await _recovered(world, Unfinished(journalled, {}, SignalResult.ACCEPTED))
    assert record.handoff is not None
    assert record.handoff.parameters == {}
    assert record.earlier_handoff == first.handoff


async def test_a_crash_in_the_conversation_after_a_take_back_is_indeterminate() -> None:
    world = World()
    first = _returned(world)
    await world.store.put(first)
    journalled = first.changed(handoff=_requested_handoff().changed(handoff_at=FIRST_AT))
    record = await _recovered(world, Unfinished(journalled, {}, SignalResult.ACCEPTED))
    assert _outcome(record) == ("accepted", HandoffState.FAILED, Result.INDETERMINATE)
    assert record.handoff == first.handoff


@pytest.mark.parametrize("is_second", [False, True])
async def test_a_contact_whose_record_alone_has_a_signal_is_not_signalled_again(*, is_second: bool) -> None:
    """The claim of that Signal could not be made, and a rescuer has no journal."""
    world = World()
    first = _returned(world)
    await world.store.put(_again(first) if is_second else first)
    record = await _recovered(world, Unfinished(_record(world), {}))
    assert world.centre.signals == []
    assert record.result is Result.INDETERMINATE
    assert world.observer.one(CallRecovered).outcome.reason == "signalled_before"


async def test_a_contact_whose_signal_did_not_arrive_by_its_record_is_signalled() -> None:
    world = World()
    handoff = _requested_handoff().changed(signal="undelivered", state=HandoffState.INITIATED)
    await world.store.put(_record(world, handoff=handoff, state=CallState.HANDING_OFF))
    await _recovered(world, Unfinished(_record(world), {}))
    assert len(world.centre.signals) == 1
