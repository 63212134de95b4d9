"""A Signal that is claimed first, as several nodes may have the call."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sipbridge.calls.call import now
from sipbridge.calls.events import CallEnded, SignalSent, SignalWithheld, TransferDone
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovery import NODE_LOST, recover
from sipbridge.errors import CallTakenOver, StoreError
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import World


async def test_a_signal_is_journalled_then_claimed_then_sent() -> None:
    world = World(has_claims=True)
    await world.hand_off()
    steps = world.journal.only("journal", "claims", "centre")
    assert steps[1:7] == [
        "journal.handing_off handoff_initiated",
        "journal.signalling",
        "claims.claim",
        "centre.signal",
        "journal.signalled accepted",
        "claims.settle accepted",
    ]
    assert world.observer.one(SignalSent).purpose == "handoff"


async def test_a_signal_that_another_node_has_claimed_is_not_sent_and_the_call_ends() -> None:
    world = World(has_claims=True)
    world.claims.instead = SignalResult.DUPLICATE
    record = await world.hand_off()
    assert world.centre.signals == []
    assert "centre.signal" not in world.journal.steps
    assert world.leg.hang_ups == [200]
    assert world.observer.one(SignalWithheld).purpose == "handoff"
    assert record.handoff is not None
    assert record.handoff.signal == "duplicate"


@pytest.mark.parametrize("destination", ["carrier", "desk", "sales"])  # REFER and INVITE without a Signal, and with one
async def test_a_caller_whose_call_another_node_may_have_is_not_transferred(destination: str) -> None:
    world = World(has_claims=True)
    world.claims.instead = SignalResult.DUPLICATE
    record = await world.hand_off(destination=destination)
    assert (world.leg.refers, world.dialler.invites, world.centre.signals) == ([], [], [])
    assert world.leg.hang_ups == [200]
    assert record.handoff is not None
    assert (record.handoff.state, record.handoff.transfer) == (HandoffState.FAILED, "taken_over, released")
    assert world.observer.one(TransferDone).method == "release"


@pytest.mark.parametrize("destination", ["carrier", "sales"])
async def test_a_node_that_has_the_call_transfers_its_caller(destination: str) -> None:
    world = World(has_claims=True)
    await world.hand_off(destination=destination)
    assert len(world.leg.refers) == 1
    has_claim = destination == "sales"
    assert ("claims.may_transfer" in world.journal.steps) is not has_claim, "it has the claim of its Signal"


async def test_a_call_that_another_node_has_taken_over_ends_without_a_signal() -> None:
    world = World(has_claims=True)
    await world.start_conversation()
    world.claims.instead = SignalResult.DUPLICATE
    world.call.yield_to_rescuer()
    record = await world.finish()
    assert (record.reason, record.ended_by) == ("taken_over", "bridge")
    assert world.centre.signals == []
    assert world.leg.hang_ups == [200]


@pytest.mark.parametrize("superseded", [True, False])
async def test_the_end_of_a_call_says_if_the_record_of_another_node_stands(*, superseded: bool) -> None:
    world = World(has_claims=True)
    await world.start_conversation()
    if superseded:
        world.store.failing = CallTakenOver("record refused")
    world.call.yield_to_rescuer()
    await world.finish()
    end = world.observer.one(CallEnded)
    assert (end.superseded, end.stored) == (superseded, True)


async def test_the_end_of_a_call_says_if_the_store_does_not_know_yet_whose_record_stands() -> None:
    world = World(has_claims=True)
    await world.start_conversation()
    world.store.failing = StoreError("Redis: no connection")
    world.call.yield_to_rescuer()
    await world.finish()
    end = world.observer.one(CallEnded)
    assert (end.superseded, end.stored) == (False, False)


@pytest.mark.parametrize(("may_be_old", "signals"), [(True, 0), (False, 1)])
async def test_a_call_that_was_in_progress_a_moment_ago_is_not_too_old_by_another_clock(
    *, may_be_old: bool, signals: int
) -> None:
    world = World(has_claims=True)
    record = world.call.record.model_copy(update={"started_at": now() - timedelta(days=1)})
    await recover([Unfinished(record, {})], world.call.context, NODE_LOST._replace(may_be_old=may_be_old))
    assert len(world.centre.signals) == signals


@pytest.mark.parametrize("instead", [None, SignalResult.DUPLICATE])
async def test_a_rescued_contact_is_signalled_unless_its_owner_has_the_claim(instead: SignalResult | None) -> None:
    world = World(has_claims=True)
    world.claims.instead = instead
    record = world.call.record.model_copy(update={"started_at": now()})
    await recover([Unfinished(record, {})], world.call.context, NODE_LOST)
    assert [parameters["p3"] for _, parameters in world.centre.signals] == ["node_lost"] * (instead is None)
    stored = world.store.written[-1]
    assert stored.reason == HandoffReason.NODE_LOST
    assert stored.handoff is not None
    assert (stored.handoff.state is HandoffState.COMPLETED) == (instead is None)
    assert world.observer.one(SignalSent).purpose == "takeover"
