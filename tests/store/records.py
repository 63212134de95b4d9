"""Records for tests of any package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.record import HandoffRecord, HandoffState

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def make_handoff(**changes: Any) -> HandoffRecord:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {
        "state": HandoffState.INITIATED,
        "shared_id": "contact-1",
        "destination": "care",
        "method": "release",
        "reason": "asked_for_human",
        "requested_by": "api",
        "utterance": "One moment, please.",
        "handoff_at": START + timedelta(seconds=30),
    }
    return HandoffRecord(**fields | changes)


def make_record(call_id: str = "call-1", **changes: Any) -> CallRecord:  # noqa: ANN401 (any field)
    fields: dict[str, Any] = {
        "call_id": call_id,
        "sip_call_id": f"{call_id}@trunk",
        "client": "acme",
        "project": "billing",
        "contact_id": "contact-1",
        "main_contact_id": "main-1",
        "caller": "+15550001",
        "dialled": "+19995550001",
        "state": CallState.TALKING,
        "started_at": START,
    }
    return CallRecord(**fields | changes)


class Settled:
    """The calls that a store has settled after their puts had given up: true for each whose record stands."""

    def __init__(self) -> None:
        self.stands: dict[str, bool] = {}

    def __call__(self, call_id: str, *, stands: bool) -> None:
        self.stands[call_id] = stands
