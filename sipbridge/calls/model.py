"""The values that the modules of a call exchange: frozen, with properties at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from multidict import CIMultiDictProxy
from pydantic import AwareDatetime

from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, NonEmpty, Record, Turn


@dataclass(frozen=True, slots=True)
class Invite:
    """A new INVITE, parsed and not yet checked.

    `dialled` holds the user parts of the Request-URI and of To, in that order, percent-escapes decoded;
    `caller` that of From, and `asserted` those of P-Asserted-Identity (RFC 3325). `malformed` says why the
    message is unusable, if it is; `malformed_status` is the SIP status that rejects it.
    """

    sip_call_id: str
    source_address: str
    source_port: int
    transport: str
    dialled: tuple[str, ...]
    caller: str
    headers: CIMultiDictProxy[str]
    malformed: str | None = None
    asserted: tuple[str, ...] = ()
    malformed_status: int = 400


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller, the dialled number, and the CXone contact that holds the leg. It never changes during a call.

    `headers` are those that the project passes to its agent.
    """

    call_id: str
    sip_call_id: str
    client: str
    project: str
    contact_id: str
    main_contact_id: str
    caller: str
    dialled: str
    headers: Mapping[str, str]


class CallState(StrEnum):
    """The state of a call."""

    RINGING = "ringing"
    TALKING = "talking"
    HANDING_OFF = "handing_off"
    ENDED = "ended"


EndedBy = Literal["caller", "agent", "destination", "bridge", "api"]


class CallRecord(Record):
    """A call, as it is stored and as the API shows it. `earlier_handoff` was taken back before `handoff` began."""

    call_id: NonEmpty
    sip_call_id: str
    client: str
    project: str
    contact_id: str
    main_contact_id: str
    caller: str
    dialled: str
    state: CallState
    started_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    ended_by: EndedBy | None = None
    result: Result | None = None
    reason: str = ""
    handoff: HandoffRecord | None = None
    earlier_handoff: HandoffRecord | None = None
    transcript: tuple[Turn, ...] = ()

    @property
    def shared_id(self) -> str:
        """The id by which CXone and the CRM find the call: the contact id unless the agent set another."""
        return self.handoff.shared_id if self.handoff else self.contact_id


class LegFailure(StrEnum):
    """The reason for which PJSIP ended a leg on its own, without its peer or a command of ours."""

    NO_ACK = "no_ack"  # our 200 got no ACK
    UNUSABLE_ANSWER = "unusable_answer"  # the SDP answer agrees on no audio, or is missing
    SESSION_EXPIRED = "session_expired"  # no session refresh came (RFC 4028, 10)
    REQUEST_FAILED = "request_failed"  # a request of ours in the dialog got no response, or 481 (RFC 3261, 12.2.1.2)
    TRANSPORT_FAILED = "transport_failed"  # a message could not be sent


@dataclass(frozen=True, slots=True)
class LegEnd:
    """Why a leg ended: by whom, with which SIP status (200 for BYE), and when (seconds of `time.monotonic`).

    `headers` are the X- headers of the peer's BYE. `failure` is set if PJSIP ended the leg on its own. `heard` is true
    if the peer has sent audio, `audio_due` if its SDP ever allowed it to. Both are known only if the peer ended the
    leg. `answered` is true if our 200 had been sent, with or without its ACK. `detail` says
    why a message could not be sent.
    """

    by_peer: bool
    sip_status: int
    at: float
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: LegFailure | None = None
    heard: bool = False
    answered: bool = False
    audio_due: bool = False
    detail: str = ""
