"""The endings of calls without a handoff: who ended the call, with which result and reason.

docs/handoff.md has the same table (tests/calls/test_handoff_tables.py). A call that was handed off ends with the
outcome of its handoff, and `ended_by` says which side sent BYE.
"""

from __future__ import annotations

from dataclasses import dataclass

from sipbridge.calls.model import EndedBy, LegEnd, LegFailure
from sipbridge.handoffs.outcome import Outcome, Result


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a call to end. `by` and `reason` are values of the record."""

    by: EndedBy
    result: Result
    reason: str

    @property
    def outcome(self) -> Outcome:
        """The result and the reason."""
        return Outcome(self.result, self.reason)


CALLER_HUNG_UP = Ending("caller", Result.SUCCESS, "caller_hung_up")
CANCELLED = Ending("caller", Result.CLIENT_ERROR, "cancelled")
AGENT_ENDED = Ending("agent", Result.SUCCESS, "agent_ended")
PROMPT_ENDED = Ending("agent", Result.SUCCESS, "prompt_ended")
HUNG_UP_BY_API = Ending("api", Result.SUCCESS, "hung_up_by_api")
AGENT_UNAVAILABLE = Ending("bridge", Result.UPSTREAM_ERROR, "agent_unavailable")
MEDIA_TIMEOUT = Ending("bridge", Result.UPSTREAM_ERROR, "media_timeout")
TAKEN_OVER = Ending("bridge", Result.SERVER_ERROR, "taken_over")
SHUT_DOWN = Ending("bridge", Result.SERVER_ERROR, "shut_down")
INTERNAL_ERROR = Ending("bridge", Result.SERVER_ERROR, "internal_error")
# Ended by PJSIP on its own.
BROKEN = {failure: Ending("bridge", Result.UPSTREAM_ERROR, failure.value) for failure in LegFailure}

ENDINGS = (
    CALLER_HUNG_UP,
    CANCELLED,
    AGENT_ENDED,
    PROMPT_ENDED,
    HUNG_UP_BY_API,
    AGENT_UNAVAILABLE,
    MEDIA_TIMEOUT,
    *BROKEN.values(),
    TAKEN_OVER,
    SHUT_DOWN,
    INTERNAL_ERROR,
)


def read_leg_end(end: LegEnd) -> Ending:
    """Return the ending of a call that the end of the caller's leg interrupted."""
    if end.by_peer:
        return CALLER_HUNG_UP if end.answered else CANCELLED
    return INTERNAL_ERROR if end.failure is None else BROKEN[end.failure]
