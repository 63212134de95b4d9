"""The start and the end of a handoff, as its record shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.record import HandoffRecord, HandoffState


def start_handoff(
    plan: HandoffPlan,
    *,
    shared_id: str,
    requested_by: str,
    at: datetime,
    utterance: str = "",
    data: Mapping[str, Any] | None = None,
    earlier: HandoffRecord | None = None,
) -> HandoffRecord:
    """Return the record of a handoff that starts now.

    What the agent sent with an `earlier` one is kept for the human agent, unless it sends others.
    """
    known = earlier.data if earlier else {}
    return HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id=shared_id,
        destination=plan.destination,
        method=plan.method,
        reason=plan.reason,
        requested_by=requested_by,
        utterance=utterance or (earlier.utterance if earlier else ""),
        data={**known, **(data or {})},
        handoff_at=at,
    )


def is_in_progress(handoff: HandoffRecord | None) -> bool:
    """True if there is a handoff without a final state."""
    return handoff is not None and handoff.state is HandoffState.INITIATED


def finish_handoff(handoff: HandoffRecord, *, completed: bool, confirmed: bool, at: datetime) -> HandoffRecord:
    """Return the record with its final state. `confirmed` as in `HandoffRecord`."""
    state = HandoffState.COMPLETED if completed else HandoffState.FAILED
    return handoff.changed(state=state, confirmed=confirmed, finished_at=at)
