"""The events of calls, as frozen values. Metrics, logs and the event stream are made from these alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, get_args

from sipbridge.calls.model import CallRecord
from sipbridge.handoffs.outcome import Outcome, Result


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """A new INVITE got its final response. `call_id` is None if it did not become a call.

    `client` and `project` are empty if it was rejected before they were known.
    """

    sip_status: int
    reason: str
    sip_call_id: str
    source_address: str
    call_id: str | None = None
    client: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """An INVITE was admitted, and its client, project and contact are known."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class AgentConnected:
    """The agent was connected, or could not be. `agent_type` is `prompt`, `sip` or `websocket`."""

    record: CallRecord
    agent_type: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AgentFault:
    """The agent sent a message that is not valid, or breaks its protocol; the call goes on. `fault` is a fixed word.

    `message` may quote the agent. `reason` says why a handoff was refused, and quotes nothing.
    """

    record: CallRecord
    agent_type: str
    fault: str
    message: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The caller was answered, and the ACK has arrived. `setup_seconds` is the time from INVITE to 200."""

    record: CallRecord
    setup_seconds: float


@dataclass(frozen=True, slots=True)
class TurnsAdded:
    """The transcript has grown."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class HandoffStarted:
    """A handoff was accepted."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class HandoffStage:
    """A stage of a handoff ended: `play_out`, `utterance`, `store`, `transcript`, `signal` or `transfer`."""

    record: CallRecord
    stage: str
    seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SignalAttempted:
    """One of several attempts to send a Signal ended. A Signal that was sent once has `SignalSent` only."""

    record: CallRecord
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class SignalSent:
    """A Signal was sent, or could not be. `purpose` is `handoff`, `end`, `restart` or `takeover`."""

    record: CallRecord
    purpose: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class ContactShared:
    """A call began whose contact has another call in progress."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class SignalWithheld:
    """A Signal was not sent: its contact was signalled through another call. `purpose` is `handoff` or `end`."""

    record: CallRecord
    purpose: str


@dataclass(frozen=True, slots=True)
class TransferDone:
    """A transfer method ended. `sip_status` is 0 if no response reported its result."""

    record: CallRecord
    method: str
    outcome: Outcome
    sip_status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TakeBackDone:
    """CXone did not take a caller within `seconds`. The agent has got them back, or has left."""

    record: CallRecord
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class HandoffFinished:
    """A handoff reached its final state."""

    record: CallRecord
    method: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call ended, and its record is final.

    It is `superseded` if another node has taken the call over: that node's record stands, and it reports the end.
    If it is not `stored` yet, only the store can say later which record stands.
    """

    record: CallRecord
    outcome: Outcome
    duration_seconds: float
    superseded: bool = False
    stored: bool = True


@dataclass(frozen=True, slots=True)
class CallRecovered:
    """A call that a crash had interrupted was recovered as far as possible, and its record is final.

    `interrupted` is its record as the crash left it, without the handoff of the recovery.
    """

    record: CallRecord
    outcome: Outcome
    interrupted: CallRecord


@dataclass(frozen=True, slots=True)
class RecordRecovered:
    """The record of a call that an earlier run left open is in the store, so that its events may be sent again."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class TokenRequested:
    """An access token was requested from CXone."""

    client: str
    result: Result
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A record could not be written; the call goes on."""

    record: CallRecord
    message: str


@dataclass(frozen=True, slots=True)
class ConfigRead:
    """The configuration was reloaded, or the reload was refused and changed nothing."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class DrainChanged:
    """The bridge began to drain, or has drained.

    `calls` are in progress; those that remain after `wait_seconds` are handed off.
    """

    draining: bool
    calls: int = 0
    wait_seconds: float = 0.0


CallEvent = (
    InviteAnswered
    | CallStarted
    | AgentConnected
    | AgentFault
    | CallAnswered
    | TurnsAdded
    | HandoffStarted
    | HandoffStage
    | SignalAttempted
    | SignalSent
    | ContactShared
    | SignalWithheld
    | TransferDone
    | TakeBackDone
    | HandoffFinished
    | CallEnded
    | CallRecovered
    | RecordRecovered
    | TokenRequested
    | StoreFailed
    | ConfigRead
    | DrainChanged
)


class OfOneCall(Protocol):
    """An event of one call, with its record as it is then."""

    @property
    def record(self) -> CallRecord:
        """The record."""


OF_ONE_CALL: tuple[type, ...] = tuple(
    kind for kind in get_args(CallEvent) if any(field.name == "record" for field in fields(kind))
)
