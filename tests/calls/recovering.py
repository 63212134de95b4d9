"""Calls that a crash has left open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovery import recover
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from tests.calls.world import World


def open_call(world: World, **changes: object) -> CallRecord:
    """The record of a call that began a moment ago."""
    return world.call.record.model_copy(update={"started_at": datetime.now(UTC), **changes})


def requested_handoff() -> HandoffRecord:
    """A handoff that the agent had requested, with its data."""
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


async def recovered_call(world: World, call: Unfinished) -> CallRecord:
    """Recover a call, and return its record in the store."""
    world.call_journal.open[call.record.call_id] = None
    await recover([call], world.call.context)
    assert world.call_journal.open == {}
    record = world.store.written[-1]
    assert (record.state, record.reason, record.ended_by) == (CallState.ENDED, HandoffReason.RESTARTED, "bridge")
    return record
