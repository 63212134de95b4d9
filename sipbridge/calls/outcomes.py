"""The outcomes of the parts of a call, each word once. `endings.py` has those of whole calls.

docs/handoff.md explains the same words (tests/calls/test_handoff_tables.py).
"""

from __future__ import annotations

from enum import StrEnum

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferResult
from sipbridge.handoffs.outcome import Outcome, Result


class HandoffReason(StrEnum):
    """The reason of a handoff that the bridge or a DTMF digit starts, and no agent."""

    MAX_CALL_SECONDS = "max_call_seconds"
    DTMF = "dtmf"
    MEDIA_TIMEOUT = "media_timeout"
    AGENT_LOST = "agent_lost"
    AGENT_UNAVAILABLE = "agent_unavailable"
    INVALID_HANDOFF = "invalid_handoff"
    DRAINING = "draining"
    RESTARTED = "bridge_restarted"
    NODE_LOST = "node_lost"


# ---------------------------------------------------------------- the agent

CONNECTED = Outcome(Result.SUCCESS, "connected")

# ---------------------------------------------------------------- the stages of a handoff

DONE = Outcome(Result.SUCCESS, "done")
CUT_OFF = Outcome(Result.CLIENT_ERROR, "cut_off")
AGENT_LOST = Outcome(Result.UPSTREAM_ERROR, "agent_lost")
SPEECH_FAILED = Outcome(Result.UPSTREAM_ERROR, "speech_failed")
STORE_FAILED = Outcome(Result.SERVER_ERROR, "store_failed")
TRANSCRIPT_FAILED = Outcome(Result.UPSTREAM_ERROR, "transcript_failed")

# ---------------------------------------------------------------- the Signal

SIGNAL_OUTCOMES = {
    SignalResult.ACCEPTED: Outcome(Result.SUCCESS, "accepted"),
    SignalResult.REFUSED: Outcome(Result.CLIENT_ERROR, "signal_refused"),
    SignalResult.UNDELIVERED: Outcome(Result.UPSTREAM_ERROR, "signal_undelivered"),
    SignalResult.UNKNOWN: Outcome(Result.INDETERMINATE, "signal_unknown"),
    SignalResult.DUPLICATE: Outcome(Result.SUCCESS, "contact_signalled"),
}

# ---------------------------------------------------------------- the transfer

RELEASED = "released"
RELEASED_BY_PEER = "released_by_peer"
REFER_OUTCOMES = {
    ReferResult.ACCEPTED: Outcome(Result.SUCCESS, "refer_accepted"),
    ReferResult.NO_NOTIFY: Outcome(Result.INDETERMINATE, "refer_no_notify"),
    ReferResult.PEER_HUNG_UP: Outcome(Result.INDETERMINATE, "refer_peer_hung_up"),
    ReferResult.REFUSED: Outcome(Result.UPSTREAM_ERROR, "refer_refused"),
    ReferResult.FAILED: Outcome(Result.UPSTREAM_ERROR, "refer_failed"),
}
REFER_NOT_SENT = Outcome(Result.UPSTREAM_ERROR, "refer_not_sent")
INVITE_ANSWERED = Outcome(Result.SUCCESS, "invite_answered")
INVITE_NO_ANSWER = Outcome(Result.UPSTREAM_ERROR, "invite_no_answer")
INVITE_REFUSED = Outcome(Result.UPSTREAM_ERROR, "invite_refused")

# The agent got the caller back. As the outcome of the take-back itself it is a success.
TAKEN_BACK = Outcome(Result.UPSTREAM_ERROR, "taken_back")

# ---------------------------------------------------------------- the handoff

HANDED_OFF = Outcome(Result.SUCCESS, "handed_off")
UNCONFIRMED = Outcome(Result.INDETERMINATE, "unconfirmed")

# ---------------------------------------------------------------- the recovery after a crash

SIGNALLED_BEFORE = "signalled_before"  # with the result of that Signal
HUNG_UP_BEFORE = Outcome(Result.SUCCESS, "hung_up_before")
BYE_UNKNOWN = Outcome(Result.INDETERMINATE, "bye_unknown")
PROJECT_GONE = Outcome(Result.SERVER_ERROR, "project_gone")
TOO_OLD = Outcome(Result.SERVER_ERROR, "too_old")
NO_SIGNAL = Outcome(Result.SERVER_ERROR, "no_signal")
