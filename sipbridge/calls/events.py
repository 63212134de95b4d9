"""Everything that happens to calls, as frozen values. Metrics, logs and the event stream are made from these alone."""

from __future__ import annotations

from dataclasses import dataclass

from sipbridge.calls.model import CallRecord
from sipbridge.handoffs.outcome import Outcome, Result


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """A new INVITE got its final response. `call_id` is None if no call came of it.

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
    """An INVITE was let in and has its client, project and contact."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class AgentConnected:
    """The agent was reached, or not. `agent_type` is `prompt`, `sip` or `websocket`."""

    record: CallRecord
    agent_type: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AgentFault:
    """The agent sent what cannot be used, or does not do its part; the call goes on. `fault` is one fixed word.

    `message` may quote what was sent; `reason` is of our own words alone, of a handoff that was refused.
    """

    record: CallRecord
    agent_type: str
    fault: str
    message: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The caller's leg has its 200 and its ACK. `setup_seconds` runs from INVITE to 200."""

    record: CallRecord
    setup_seconds: float


@dataclass(frozen=True, slots=True)
class HandoffStarted:
    """A handoff was accepted."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class HandoffStage:
    """A step of a handoff is over: `play_out`, `utterance`, `store`, `transcript`, `signal` or `transfer`."""

    record: CallRecord
    stage: str
    seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SignalSent:
    """A Signal was tried. `purpose` is `handoff` or `end`."""

    record: CallRecord
    purpose: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class ContactShared:
    """A call has begun whose contact has another live call."""

    record: CallRecord


@dataclass(frozen=True, slots=True)
class SignalWithheld:
    """A Signal was not sent: its contact was signalled through another live call. `purpose` is `handoff` or `end`."""

    record: CallRecord
    purpose: str


@dataclass(frozen=True, slots=True)
class TransferDone:
    """A transfer method ended. `sip_status` is 0 where none tells."""

    record: CallRecord
    method: str
    outcome: Outcome
    sip_status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HandoffFinished:
    """A handoff has its final state."""

    record: CallRecord
    method: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over and its record final."""

    record: CallRecord
    outcome: Outcome
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class CallRecovered:
    """A call that a crash had cut off is made good as far as can be; its record is final."""

    record: CallRecord
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TokenRequested:
    """CXone was asked for an access token."""

    client: str
    result: Result
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A record could not be written; the call goes on without it."""

    record: CallRecord
    message: str


@dataclass(frozen=True, slots=True)
class ConfigRead:
    """The configuration was read anew while running; refused, it changed nothing."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class DrainChanged:
    """The bridge began to drain, or is done with it.

    `calls` are in progress; what is left of them after `wait_seconds` is handed off.
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
    | HandoffStarted
    | HandoffStage
    | SignalSent
    | ContactShared
    | SignalWithheld
    | TransferDone
    | HandoffFinished
    | CallEnded
    | CallRecovered
    | TokenRequested
    | StoreFailed
    | ConfigRead
    | DrainChanged
)
