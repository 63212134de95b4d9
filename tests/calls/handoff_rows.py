"""The rows of the tables of docs/handoff.md: the values come from the code, the explanations are here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sipbridge import errors
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
    Ending,
)
from sipbridge.calls.model import LegFailure
from sipbridge.calls.outcomes import (
    BYE_UNKNOWN,
    HANDED_OFF,
    HUNG_UP_BEFORE,
    INVITE_ANSWERED,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
    NO_SIGNAL,
    PROJECT_GONE,
    REFER_NOT_SENT,
    REFER_OUTCOMES,
    RELEASED,
    RELEASED_BY_PEER,
    SIGNAL_OUTCOMES,
    SIGNALLED_BEFORE,
    TOO_OLD,
    UNCONFIRMED,
    HandoffReason,
)
from sipbridge.calls.ports import ReferResult, SignalResult
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState

TIMES = "\N{MULTIPLICATION SIGN}"


class Rejection(NamedTuple):
    """Errors that reject an INVITE, with one reason; their cause and remedy."""

    errors: Sequence[type[errors.InviteRefused]]
    cause: str
    remedy: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        first = self.errors[0]
        response = ", ".join(str(error.sip_status) for error in self.errors)
        if first.retry_after_seconds is not None:
            response += f", Retry-After {first.retry_after_seconds}"
        elif issubclass(first, errors.MalformedInvite | errors.MessageTooLarge):
            response += " with Warning"
        return [response, _code(first.reason), self.cause, self.remedy]


class OtherResponse(NamedTuple):
    """A final response that the SIP stack or the end of the call determines."""

    status: int
    reason: str
    cause: str
    remedy: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [str(self.status), _code(self.reason), self.cause, self.remedy]


class StartRow(NamedTuple):
    """A start of a handoff: `requested_by`, and the reason unless the request gives one."""

    requested_by: str
    when: str
    reason: HandoffReason | None

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [_code(self.requested_by), self.when, _code(self.reason) if self.reason else "the destination's name"]


class SignalRow(NamedTuple):
    """A value of `signal`, its meaning, and how the handoff goes on."""

    value: str
    meaning: str
    then: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [_code(self.value), self.meaning, self.then]


class TransferRow(NamedTuple):
    """Values of `transfer` with the same result."""

    outcomes: Sequence[Outcome]
    happened: str
    taken: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [_reasons(self.outcomes), self.happened, _code(self.outcomes[0].result), self.taken]


class FinalState(NamedTuple):
    """A final state of a handoff, and the outcomes of the call and the handoff that go with it."""

    state: HandoffState
    outcomes: Sequence[Outcome]
    when: str
    confirmed: bool

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        outcome = f"{_code(self.outcomes[0].result)} {TIMES} {_reasons(self.outcomes)}"
        return [_code(self.state), _code(str(self.confirmed).lower()), self.when, outcome]


class EndingRow(NamedTuple):
    """The ending of a call without a handoff."""

    ending: Ending
    when: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [f"{_code(self.ending.result)} {TIMES} {_code(self.ending.reason)}", _code(self.ending.by), self.when]


class RecoveryRow(NamedTuple):
    """Reasons with which calls are recovered after a crash."""

    reasons: Sequence[str]
    when: str
    signal: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [", ".join(map(_code, self.reasons)), self.when, self.signal]


def _code(value: str) -> str:
    return f"`{value}`"


def _reasons(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(_code(outcome.reason) for outcome in outcomes)


BROKEN_LEG = tuple(ending.outcome for ending in BROKEN.values())
FAILED_METHODS = (
    REFER_OUTCOMES[ReferResult.REFUSED],
    REFER_OUTCOMES[ReferResult.FAILED],
    REFER_NOT_SENT,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
)

RESPONSES = (
    Rejection(
        (errors.UntrustedSource,),
        "the sender is not in `sip.trusted_sources`",
        "if it is NICE's (`source` in the log), add its network",
    ),
    Rejection(
        (errors.RateExceeded,),
        "the sender exceeds `sip.max_calls_per_second`",
        "raise the limit if the calls are real; the bucket holds one second's worth",
    ),
    Rejection(
        (errors.Draining,),
        "the bridge is stopping",
        "nothing; send calls to another bridge until this one is back",
    ),
    Rejection(
        (errors.CapacityReached,),
        (
            "`sip.max_calls` calls are in progress; or calls in progress have to wait, because more arrive than "
            "this machine carries; or no two RTP ports are free; or the remaining file descriptors are reserved for"
            " calls in progress. The log reports the last two as `resources_exhausted`"
        ),
        "see [sizes](operations.md#sizes)",
    ),
    Rejection(
        (errors.MalformedInvite,),
        (
            "two tokens or contact ids that differ; a token or contact id over 256 bytes; a body shorter than "
            "Content-Length; no blank line after the headers; several Content-Length headers, or none over TCP and "
            "TLS; a required header that cannot be read; a line that is not a header. The Warning says which"
        ),
        "check if SIPPUTHEADER runs twice for one header, and if a UDP message was truncated on its way (use TCP)",
    ),
    Rejection(
        (errors.UnsupportedUri, errors.UnsupportedVersion),
        "the Request-URI has another scheme than `sip`, `sips` and `tel`; the version is not SIP/2.0",
        "dial a SIP URI",
    ),
    Rejection(
        (errors.MessageTooLarge,),
        "a message of more than 65,535 bytes over TCP or TLS",
        "shorten the headers",
    ),
    Rejection(
        (errors.UnknownNumber,),
        "neither the Request-URI nor To has a pseudo number of a client",
        "run `sipbridge route-test`; `pseudo_numbers` must have the number that PLACECALL dials",
    ),
    Rejection(
        (errors.TokenRefused,),
        "no token, or no project of that client has it",
        "check the script's `X-Auth-Token`, and that **X- headers are enabled on the trunk group**; run `route-test`",
    ),
    Rejection(
        (errors.BadContactId,),
        "the contact id is missing, is the placeholder `100000000000`, or is not 1 to 32 letters, digits or hyphens",
        "check the script's `X-InContact-ContactId`, or `headers.contact_id` of the project",
    ),
    OtherResponse(
        488,
        "no_codec",
        "no audio line with a port, over RTP, with a codec in common",
        "make the trunk offer one of `sip.codecs` (G.711)",
    ),
    OtherResponse(
        488,
        "srtp_mismatch",
        (
            "a codec in common, but no SRTP although it is mandatory, keys that cannot be served, or SRTP although "
            "it is disabled"
        ),
        "make `sip.srtp` and the trunk agree ([configuration.md](configuration.md#srtp))",
    ),
    Rejection(
        (errors.AgentUnavailable,),
        "the agent was not reached and the project has `on_agent_failure: reject`",
        "read the reason in the log line `no agent`",
    ),
    OtherResponse(
        487,
        CANCELLED.reason,
        "the caller or the script gave up before our final response",
        "nothing",
    ),
    OtherResponse(
        500,
        INTERNAL_ERROR.reason,
        "a fault of the bridge or of PJSIP",
        "report the traceback in the log line `internal_error`",
    ),
)

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
        "the bridge leaves the caller to CXone for `release_grace_seconds`",
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
        "CXone has `release_grace_seconds` to act, then BYE",
    ),
    SignalRow(
        SignalResult.DUPLICATE,
        "none was sent: the contact was signalled through [another live call](#two-calls-of-one-contact)",
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
        "`POST calls/{call_id}/hangup`: the same",
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
        "the project is no longer configured, or its default destination has `signal: false`",
        "none",
    ),
)
