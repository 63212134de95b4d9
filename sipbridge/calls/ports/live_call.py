"""The seam between calls and `web` and `agents`: calls in progress, as others see and control them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sipbridge.calls.model import CallRecord
from sipbridge.handoffs.record import Turn
from sipbridge.handoffs.request import HandoffRequest


class LiveCall(Protocol):
    """A call in progress, as agents and the API see and control it."""

    @property
    def record(self) -> CallRecord:
        """The present state of the call."""

    def accepts_key(self, candidate: str) -> bool:
        """True if this is an API key of the project, by the configuration version of the call."""

    def check_handoff(self, request: HandoffRequest) -> object:
        """Raise the same errors as `request_handoff`, but change nothing. May be called from any thread."""

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off; return the record as it will be stored. Raises `HandoffConflict` or `HandoffInvalid`.

        `requested_by` is kept in the record: `api`, `agent`, `dtmf` or `bridge`.
        """

    def request_hangup(self) -> None:
        """End the conversation without a handoff. Raises `HandoffConflict` if its end is decided already."""

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Append to the transcript. Raises `HandoffInvalid` if it would be too long."""

    def note_fault(self, fault: str, message: str) -> None:
        """Count and log a message of the agent that is not valid; the call goes on.

        `fault` is a short lower-case word from a small fixed set; `message` quotes nothing secret.
        """

    def note_refused_handoff(self, fault: str, why: str) -> None:
        """Count and log a handoff that was refused to the agent. `why` quotes nothing of the request.

        If the agent ends the conversation soon after, its caller is handed off to the default destination. Not for a
        handoff that is refused because another request came first.
        """


class CallDirectory(Protocol):
    """An index of the calls in progress."""

    def find(self, client: str, project: str, call_id: str) -> LiveCall | None:
        """Return a call in progress of that project."""

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveCall | None:
        """Return the newest call in progress with that shared id."""

    def of_project(self, client: str, project: str) -> Sequence[LiveCall]:
        """Return all calls in progress of a project, newest first."""

    def newest(self) -> Iterable[LiveCall]:
        """Return all calls in progress, newest first."""
