"""The results of handoffs and calls, and of the recovery after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sipbridge.calls.endings import (
    AGENT_ENDED,
    AGENT_UNAVAILABLE,
    BROKEN,
    CALLER_HUNG_UP,
    CANCELLED,
    HUNG_UP_BY_API,
    INTERNAL_ERROR,
    MEDIA_TIMEOUT,
    PROMPT_ENDED,
    SHUT_DOWN,
    TAKEN_OVER,
    Ending,
)
from sipbridge.calls.model import LegFailure
from sipbridge.calls.outcomes import (
    BYE_UNKNOWN,
    HANDED_OFF,
    HUNG_UP_BEFORE,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
    NO_SIGNAL,
    PROJECT_GONE,
    REFER_NOT_SENT,
    REFER_OUTCOMES,
    SIGNAL_OUTCOMES,
    SIGNALLED_BEFORE,
    TAKEN_BACK,
    TOO_OLD,
    UNCONFIRMED,
)
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferResult
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.handoff_rows.cells import TIMES, code, reasons
from tests.calls.handoff_rows.handoffs import BROKEN_LEG


class FinalState(NamedTuple):
    """A final state of a handoff, and the outcomes of the call and the handoff that go with it."""

    state: HandoffState
    outcomes: Sequence[Outcome]
    when: str
    confirmed: bool

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        outcome = f"{code(self.outcomes[0].result)} {TIMES} {reasons(self.outcomes)}"
        return [code(self.state), code(str(self.confirmed).lower()), self.when, outcome]


class EndingRow(NamedTuple):
    """The ending of a call without a handoff."""

    ending: Ending
    when: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [f"{code(self.ending.result)} {TIMES} {code(self.ending.reason)}", code(self.ending.by), self.when]


class RecoveryRow(NamedTuple):
    """Reasons with which calls are recovered after a crash."""

    reasons: Sequence[str]
    when: str
    signal: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [", ".join(map(code, self.reasons)), self.when, self.signal]


FAILED_METHODS = (
    REFER_OUTCOMES[ReferResult.REFUSED],
    REFER_OUTCOMES[ReferResult.FAILED],
    REFER_NOT_SENT,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
)


FINAL_STATES = (
    FinalState(
        HandoffState.COMPLETED,
        (HANDED_OFF,),
        "the bridge saw that the caller was taken",
        confirmed=True,
    ),
    FinalState(
        HandoffState.COMPLETED,
        (UNCONFIRMED,),
        "the handoff was accepted, and more cannot be known. Usual for `release` if our BYE is first",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (SIGNAL_OUTCOMES[SignalResult.REFUSED],),
        "the Signal was `refused`",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (SIGNAL_OUTCOMES[SignalResult.UNDELIVERED],),
        "the Signal was `undelivered`",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (SIGNAL_OUTCOMES[SignalResult.UNKNOWN],),
        "the Signal was `unknown`, and CXone did not hang up either",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (TAKEN_OVER.outcome,),
        "no Signal was wanted, and another node may have taken the call over",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (TAKEN_BACK,),
        "the agent got the caller back",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        FAILED_METHODS,
        "no Signal was wanted and the method failed",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        (Outcome(Result.CLIENT_ERROR, CALLER_HUNG_UP.reason),),
        "the caller hung up before it was done",
        confirmed=False,
    ),
    FinalState(
        HandoffState.FAILED,
        BROKEN_LEG,
        "the caller's leg broke before it was done",
        confirmed=False,
    ),
)


CALL_ENDINGS = (
    EndingRow(
        CALLER_HUNG_UP,
        "BYE from the trunk after our 200, with or without the ACK",
    ),
    EndingRow(
        CANCELLED,
        "CANCEL or BYE before our 200",
    ),
    EndingRow(
        AGENT_ENDED,
        "the agent ended the conversation: `end_signal`, then BYE",
    ),
    EndingRow(
        PROMPT_ENDED,
        "a prompt with `then: hangup` has ended: the same",
    ),
    EndingRow(
        HUNG_UP_BY_API,
        "`POST calls/{call_id}/hangup`: the same, or 480 without a Signal to a caller who was not answered yet",
    ),
    EndingRow(
        MEDIA_TIMEOUT,
        "no RTP of the caller arrived for `media_timeout_seconds`, and `on_media_timeout` is `hangup`: the same",
    ),
    EndingRow(
        AGENT_UNAVAILABLE,
        "the agent was not reached and `on_agent_failure` is `reject`: 480",
    ),
    EndingRow(
        BROKEN[LegFailure.NO_ACK],
        "our 200 got no ACK within 32 s; BYE without a Signal",
    ),
    EndingRow(
        BROKEN[LegFailure.UNUSABLE_ANSWER],
        (
            "the SDP answer in the ACK is missing, agrees on no audio or cannot be used: BYE without a Signal; or "
            "the host in the offer's `c=` is not known: 488"
        ),
    ),
    EndingRow(
        BROKEN[LegFailure.SESSION_EXPIRED],
        "the trunk did not refresh the session in time (RFC 4028, 10); BYE without a Signal",
    ),
    EndingRow(
        BROKEN[LegFailure.REQUEST_FAILED],
        "a request of the bridge within the call got no response, or 481; BYE without a Signal",
    ),
    EndingRow(
        BROKEN[LegFailure.TRANSPORT_FAILED],
        "a message of the bridge could not be sent at all",
    ),
    EndingRow(
        TAKEN_OVER,
        (
            "this node stood still or was cut off, and another one has taken its calls over; BYE without a Signal, or "
            "503 to a caller who was not answered yet"
        ),
    ),
    EndingRow(
        SHUT_DOWN,
        "a second SIGTERM, or `drain_seconds` are over; BYE",
    ),
    EndingRow(
        INTERNAL_ERROR,
        "a fault of the bridge; BYE without a Signal",
    ),
)


RECOVERIES = (
    RecoveryRow(
        tuple(SIGNAL_OUTCOMES[each].reason for each in SignalResult if each is not SignalResult.DUPLICATE),
        "the contact was in a conversation",
        "one, to the project's default destination, with reason `bridge_restarted`",
    ),
    RecoveryRow(
        (SIGNAL_OUTCOMES[SignalResult.DUPLICATE].reason,),
        "this start signalled another call of the contact that was in progress",
        "none",
    ),
    RecoveryRow(
        (SIGNALLED_BEFORE,),
        "the first byte of a Signal may have been sent",
        (
            "none: only CXone knows if it arrived, and a second one would start the script twice. The record keeps "
            "its parameters and its known outcome (`unknown` at the least)"
        ),
    ),
    RecoveryRow(
        (HUNG_UP_BEFORE.reason,),
        "the caller's leg had ended, by either side's BYE",
        "none: the contact has ended, or its script went on. After the caller's BYE the record has `caller_hung_up`",
    ),
    RecoveryRow(
        (BYE_UNKNOWN.reason,),
        "our BYE, with no Signal before it, was about to be sent",
        "none: only CXone knows if the BYE arrived, and its script may have gone on. The record is `indeterminate`",
    ),
    RecoveryRow(
        (TOO_OLD.reason,),
        "the call began more than `max_call_seconds` ago",
        "none",
    ),
    RecoveryRow(
        (PROJECT_GONE.reason, NO_SIGNAL.reason),
        (
            "the project is no longer configured, or its default destination has `signal: false`. Another node waits "
            "[five minutes](cluster.md#open-calls-and-takeover) for the project"
        ),
        "none",
    ),
)
