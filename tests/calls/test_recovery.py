"""The recovery after a crash: which contacts are signalled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.aio import cancel_and_wait
from sipbridge.calls import recovery
from sipbridge.calls.events import CallRecovered, RecordRecovered, SignalSent, StoreFailed
from sipbridge.calls.model import CallState
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovery import NODE_LOST, recover
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.recovering import open_call, recovered_call, requested_handoff
from tests.calls.world import CONTACT, World
from tests.fakes import FakeCentre


async def test_a_contact_in_conversation_is_signalled_once_to_the_default_destination() -> None:
    world = World()
    record = await recovered_call(world, Unfinished(open_call(world), {}))
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
    await recovered_call(world, Unfinished(open_call(world), {}))
    assert world.journal.only("store", "journal", "centre") == [
        "store.put handoff_initiated",
        "journal.signalling",
        "centre.signal",
        "journal.signalled accepted",
        "store.put ended",
        "journal.stored",
    ]


async def test_a_store_that_hangs_delays_the_signal_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "STORE_SECONDS", 0.01)
    world = World()
    world.journal.hold("store.put handoff_initiated")
    world.journal.hold("store.put ended")
    call = Unfinished(open_call(world), {})
    world.call_journal.open[call.record.call_id] = None
    await recover([call], world.call.context)
    assert len(world.centre.signals) == 1
    assert [record.state for record in world.call_journal.unstored_records] == [CallState.ENDED]
    assert [event.message for event in world.observer.of(StoreFailed)] == ["the store took too long"] * 2


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
    begun = open_call(world, handoff=requested_handoff(), state=CallState.HANDING_OFF)
    record = await recovered_call(world, Unfinished(begun, {}, signal))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.signal, record.handoff.destination) == (state, signal.value, "sales")


async def test_a_contact_that_is_too_old_is_not_signalled() -> None:
    world = World(max_call_seconds="60")
    old = open_call(world, started_at=datetime.now(UTC) - timedelta(seconds=61), handoff=requested_handoff())
    record = await recovered_call(world, Unfinished(old, {}))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.FAILED
    assert world.observer.one(CallRecovered).outcome.reason == "too_old"


async def test_a_contact_of_a_removed_project_is_not_signalled() -> None:
    world = World()
    await recovered_call(world, Unfinished(open_call(world, project="gone"), {}))
    assert world.centre.signals == []
    assert world.observer.one(CallRecovered).outcome.reason == "project_gone"


async def test_a_default_destination_with_signal_false_is_not_signalled() -> None:
    world = World(handoff={"default": "desk"})
    record = await recovered_call(world, Unfinished(open_call(world), {}))
    assert world.centre.signals == []
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.FAILED


async def test_an_undelivered_signal_is_sent_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(recovery, "TRIES", 3)
    world = World()
    world.centre.answer = SignalResult.UNDELIVERED
    record = await recovered_call(world, Unfinished(open_call(world), {}))
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
    calls = [Unfinished(open_call(world, call_id=f"down-{n}", client="down"), {}) for n in range(recovery.AT_ONCE + 5)]
    recovering = asyncio.create_task(recover([*calls, Unfinished(open_call(world), {})], context))
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
    call = open_call(world)
    waiting = open_call(world, call_id="its turn has not come")
    recovering = asyncio.create_task(recover([Unfinished(call, {}), Unfinished(waiting, {})], world.call.context))
    await world.journal.until("centre.signal")
    stopping = asyncio.create_task(cancel_and_wait(recovering))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stopping.done()
    answers.set()
    await stopping
    assert world.call_journal.open[call.call_id] is SignalResult.UNDELIVERED, "so the next start may send it again"


async def test_a_call_that_cannot_be_recovered_stops_no_other() -> None:
    world = World()
    world.journal.when("store.put handoff_initiated", _fail)
    calls = [Unfinished(open_call(world, call_id=name), {}) for name in ("call-1", "call-2")]
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
    calls = [Unfinished(open_call(world, call_id=f"call-{each}"), {}) for each in range(number)]
    await recover(calls, world.call.context)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == lines


# ---------------------------------------------------------------- calls that were over


async def test_a_contact_whose_call_had_ended_is_not_signalled() -> None:
    world = World()
    began = open_call(world)
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
    began = open_call(world)
    ending = began.model_copy(update={"ended_by": "agent", "ended_at": began.started_at + timedelta(seconds=7)})
    world.call_journal.open[began.call_id] = None
    await recover([Unfinished(ending, {}, bye_unknown=True)], world.call.context)
    assert world.centre.signals == []
    record = world.store.written[-1]
    assert (record.state, record.ended_by, record.ended_at) == (CallState.ENDED, "agent", ending.ended_at)
    assert (record.result, record.reason) == (Result.INDETERMINATE, "bridge_restarted")
    assert world.observer.one(CallRecovered).outcome.reason == "bye_unknown"
    assert world.call_journal.open == {}


async def test_two_calls_of_one_contact_get_one_signal() -> None:
    world = World()
    calls = [Unfinished(open_call(world, call_id=call_id), {}) for call_id in ("one", "two")]
    await recover(calls, world.call.context)
    assert len(world.centre.signals) == 1
    signals = {record.call_id: record.handoff.signal for record in world.store.written if record.handoff}
    assert sorted(signals.values()) == ["accepted", "duplicate"]


async def test_an_interrupted_recovery_leaves_no_second_signal_for_another_call_of_the_contact() -> None:
    world = World()
    world.journal.hold("centre.signal")
    calls = [Unfinished(open_call(world, call_id=call_id), {}) for call_id in ("one", "two")]
    over = Unfinished(open_call(world, call_id="over", ended_at=datetime.now(UTC), ended_by="caller"), {})
    world.call_journal.open = dict.fromkeys(("one", "two", "over"))
    recovering = asyncio.create_task(recover([*calls, over], world.call.context))
    await world.journal.until("centre.signal")
    assert sorted(filter(None, world.call_journal.open.values())) == [SignalResult.DUPLICATE, SignalResult.UNKNOWN]
    assert ("over", SignalResult.DUPLICATE) not in world.call_journal.signals
    world.journal.hold("centre.signal").set()
    await recovering


async def test_a_signal_that_does_not_arrive_withholds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "TRIES", 1)
    world = World()
    world.centre.answer = SignalResult.UNDELIVERED
    calls = [Unfinished(open_call(world, call_id=call_id), {}) for call_id in ("one", "two")]
    await recover(calls, world.call.context)
    assert len(world.centre.signals) == 2, "through each call"


async def test_a_call_that_may_wait_is_left_open_if_its_signal_does_not_arrive() -> None:
    world, cause = World(), NODE_LOST._replace(may_wait=True)
    world.centre.answer = SignalResult.UNDELIVERED
    call = open_call(world)
    world.call_journal.open[call.call_id] = None
    assert await recover([Unfinished(call, {})], world.call.context, cause) == 1
    assert len(world.centre.signals) == 1, "it is not sent again for a minute, as another node may reach CXone"
    assert not any(world.observer.of(each) for each in (CallRecovered, SignalSent, RecordRecovered))
    assert call.call_id in world.call_journal.open
    world.centre.answer = SignalResult.ACCEPTED
    assert await recover([Unfinished(call, {})], world.call.context, cause) == 0
    assert world.observer.one(CallRecovered).record.reason == "node_lost"
    assert world.store.written[-1].handoff is not None
    assert world.store.written[-1].handoff.signal == "accepted"
    assert world.call_journal.open == {}


async def test_a_call_whose_contact_was_signalled_through_another_is_not_signalled() -> None:
    world = World()
    await recover([Unfinished(open_call(world), {}, SignalResult.DUPLICATE)], world.call.context)
    assert world.centre.signals == []
