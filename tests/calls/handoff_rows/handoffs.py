"""The start of a handoff, its Signal and its transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sipbridge.calls.endings import (
    BROKEN,
    CALLER_HUNG_UP,
    TAKEN_OVER,
)
from sipbridge.calls.outcomes import (
    INVITE_ANSWERED,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
    REFER_NOT_SENT,
    REFER_OUTCOMES,
    RELEASED,
    RELEASED_BY_PEER,
    TAKEN_BACK,
    HandoffReason,
)
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferResult
from sipbridge.handoffs.outcome import Outcome, Result
from tests.calls.handoff_rows.cells import code, reasons

# The outcomes of a leg that broke.
BROKEN_LEG = tuple(ending.outcome for ending in BROKEN.values())


class StartRow(NamedTuple):
    """A start of a handoff: `requested_by`, and the reason unless the request gives one."""

    requested_by: str
    when: str
    reason: HandoffReason | None

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [code(self.requested_by), self.when, code(self.reason) if self.reason else "the destination's name"]


class SignalRow(NamedTuple):
    """A value of `signal`, its meaning, and how the handoff goes on."""

    value: str
    meaning: str
    then: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [code(self.value), self.meaning, self.then]


class TransferRow(NamedTuple):
    """Values of `transfer` with the same result."""

    outcomes: Sequence[Outcome]
    happened: str
    taken: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [reasons(self.outcomes), self.happened, code(self.outcomes[0].result), self.taken]


STARTS = (
    StartRow(
        "agent",
        (
            "a prompt with `then: handoff` has ended; a WebSocket agent sent a `handoff` event; a SIP agent sent "
            "REFER, or BYE with X-Handoff- headers ([agents.md](agents.md))"
        ),
        None,
    ),
    StartRow(
        "dtmf",
        "the caller pressed the project's `handoff.dtmf_key`",
        HandoffReason.DTMF,
    ),
    StartRow(
        "api",
        "`POST calls/{call_id}/handoff`",
        None,
    ),
    StartRow(
        "bridge",
        "the conversation lasted `max_call_seconds`",
        HandoffReason.MAX_CALL_SECONDS,
    ),
    StartRow(
        "bridge",
        "no RTP of the caller arrived for `media_timeout_seconds`, and `on_media_timeout` is `handoff`",
        HandoffReason.MEDIA_TIMEOUT,
    ),
    StartRow(
        "bridge",
        (
            "the agent was lost during the call: it disappeared without BYE or close, or was silent for "
            "`silence_timeout_seconds`"
        ),
        HandoffReason.AGENT_LOST,
    ),
    StartRow(
        "bridge",
        "the agent was not reached and the project has `on_agent_failure: handoff`",
        HandoffReason.AGENT_UNAVAILABLE,
    ),
    StartRow(
        "bridge",
        "an agent that had ended by then asked for an impossible handoff: a prompt, or a BYE",
        HandoffReason.INVALID_HANDOFF,
    ),
    StartRow(
        "bridge",
        (
            "the agent ended the conversation, or `hangup` was called, within 10 s of a "
            "[refused](#refused-handoffs) handoff"
        ),
        HandoffReason.INVALID_HANDOFF,
    ),
    StartRow(
        "bridge",
        "the bridge drains and `drain_seconds` are over",
        HandoffReason.DRAINING,
    ),
)


SIGNALS = (
    SignalRow(
        SignalResult.ACCEPTED,
        "CXone responded with 200, 202 or 204: it has the Signal, but the script has not necessarily acted",
        "the bridge leaves the caller to CXone for `release_grace_seconds`, or until the [take-back](#take-back)",
    ),
    SignalRow(
        SignalResult.REFUSED,
        "CXone responded with 3xx or 4xx; with 401 and 403 even for a fresh token",
        "BYE at once: ONRELEASE takes over",
    ),
    SignalRow(
        SignalResult.UNDELIVERED,
        (
            "it certainly did not arrive: no token, no connection, 429 or 503 until the time was over, or CXone is "
            "down and Signals are held back"
        ),
        "BYE at once",
    ),
    SignalRow(
        SignalResult.UNKNOWN,
        (
            "it was sent, and the response did not arrive or is not clear (a 5xx other than 503; a 200 with HTML, "
            "which is a gateway's page). It is not sent again, because the script could act twice"
        ),
        "CXone has `release_grace_seconds` to act, then BYE; or there is a take-back",
    ),
    SignalRow(
        SignalResult.DUPLICATE,
        (
            "none was sent: the contact was signalled through [another live call](#two-calls-of-one-contact), or for "
            "an earlier handoff of this call that was [taken back](#take-back)"
        ),
        "as after `none`",
    ),
    SignalRow(
        "none",
        "none was sent",
        "the method runs without a Signal",
    ),
)


TRANSFERS = (
    TransferRow(
        (Outcome(Result.SUCCESS, RELEASED_BY_PEER),),
        "CXone sent BYE after the Signal",
        "yes",
    ),
    TransferRow(
        (Outcome(Result.INDETERMINATE, RELEASED),),
        "the Signal was accepted, or none was wanted; our BYE",
        "unknown: CXone had the Signal",
    ),
    TransferRow(
        (REFER_OUTCOMES[ReferResult.ACCEPTED],),
        "a NOTIFY with 2xx",
        "yes",
    ),
    TransferRow(
        (REFER_OUTCOMES[ReferResult.NO_NOTIFY],),
        "202, and no final status within 15 s, or the subscription ended without one; or 408",
        "unknown; BYE",
    ),
    TransferRow(
        (REFER_OUTCOMES[ReferResult.PEER_HUNG_UP],),
        "BYE from CXone before the final NOTIFY",
        "unknown",
    ),
    TransferRow(
        (REFER_OUTCOMES[ReferResult.REFUSED],),
        'the response to the REFER was 3xx to 6xx, but not 408; 405 means that "Take Back and Transfer" is off',
        "no: falls back to release",
    ),
    TransferRow(
        (REFER_OUTCOMES[ReferResult.FAILED],),
        "202, then a NOTIFY with a failure",
        "no: falls back to release",
    ),
    TransferRow(
        (REFER_NOT_SENT,),
        "PJSIP did not send the REFER",
        "no: falls back to release",
    ),
    TransferRow(
        (TAKEN_OVER.outcome,),
        "nothing was sent: another node may have [taken the call over](cluster.md#open-calls-and-takeover)",
        "no: falls back to release",
    ),
    TransferRow(
        (INVITE_ANSWERED,),
        "the destination answered, and the two legs were joined",
        "yes; the handoff is finished now, the call when either side hangs up",
    ),
    TransferRow(
        (INVITE_NO_ANSWER,),
        "no answer within `answer_timeout_seconds`",
        "no: falls back to release",
    ),
    TransferRow(
        (INVITE_REFUSED,),
        "the destination rejected the call, or could not be called",
        "no: falls back to release",
    ),
    TransferRow(
        (TAKEN_BACK,),
        "CXone did not hang up within `take_back_seconds`, and the agent [got the caller back](#take-back)",
        "no",
    ),
    TransferRow(
        (Outcome(Result.CLIENT_ERROR, CALLER_HUNG_UP.reason),),
        "the caller hung up before the method was done",
        "no",
    ),
    TransferRow(
        BROKEN_LEG,
        "the caller's leg broke before the method was done, see [below](#calls-without-a-handoff)",
        "no",
    ),
)
