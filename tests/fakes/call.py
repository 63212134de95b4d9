"""A call in progress, as agents and the API see it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.handoffs.record import Turn
from sipbridge.handoffs.request import HandoffRequest


class FakeLiveCall:
    """Implements `LiveCall`: records requests, or raises the error that a test sets."""

    def __init__(self) -> None:
        self.record = CallRecord(
            call_id="0123456789abcdef0123456789abcdef",
            sip_call_id="sip-id@trunk",
            client="acme",
            project="billing",
            contact_id="123456789",
            main_contact_id="987654321",
            caller="+15550100",
            dialled="+19995550001",
            state=CallState.TALKING,
            started_at=datetime.now(UTC),
        )
        self.key = "key-it-began-with"
        self.refusing: Exception | None = None
        self.requests: list[tuple[HandoffRequest, str]] = []
        self.faults: list[str] = []
        self.refusals: list[str] = []
        self.hang_ups = 0
        self.turns: list[Turn] = []

    def accepts_key(self, candidate: str) -> bool:
        return candidate == self.key

    def check_handoff(self, request: HandoffRequest) -> None:
        assert isinstance(request, HandoffRequest)
        if self.refusing is not None:
            raise self.refusing

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        self.check_handoff(request)
        self.requests.append((request, requested_by))
        return self.record

    def request_hangup(self) -> None:
        self.hang_ups += 1

    def add_turns(self, turns: Iterable[Turn]) -> None:
        self.turns.extend(turns)

    def note_fault(self, fault: str, message: str) -> None:
        assert message
        self.faults.append(fault)

    def note_refused_handoff(self, fault: str, why: str) -> None:
        assert why
        self.faults.append(fault)
        self.refusals.append(why)


def _implements(call: FakeLiveCall) -> LiveCall:
    return call
