"""The bodies that the API answers with."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sipbridge.calls.model import CallRecord, CallState, EndedBy
from sipbridge.errors import ErrorCode
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn

# RFC 3339 with a Z: pydantic writes UTC so.
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
EventName = Literal["call.started", "call.answered", "handoff.started", "handoff.finished", "call.ended"]
Scalar = str | int | float | bool | None


class Schema(BaseModel):
    """A body; made from our own values, never read."""

    model_config = ConfigDict(frozen=True)


class ErrorResponse(Schema):
    """Why a request was refused: in words for people, and in a code for programs."""

    error_message: str
    code: ErrorCode


class HandoffData(Schema):
    """What the agent sent with the handoff, and these keys, which win over keys of the same name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, Scalar]

    handoff_state: HandoffState
    handoff_reason: str
    handoff_destination: str
    utterance: str
    contact_id: str
    main_contact_id: str
    caller_number: str
    callee_number: str
    started_at: Moment
    handoff_at: Moment
    confirmed: bool | None


class HandoffStateResponse(Schema):
    """A handoff as a screen-pop needs it. `data` is flat: what the agent nested is JSON text here."""

    id: str
    shared_id: str
    data: HandoffData

    @classmethod
    def of(cls, record: CallRecord, handoff: HandoffRecord) -> Self:
        """Make the answer for a call that was handed off."""
        ours = {
            "handoff_state": handoff.state,
            "handoff_reason": handoff.reason,
            "handoff_destination": handoff.destination,
            "utterance": handoff.utterance,
            "contact_id": record.contact_id,
            "main_contact_id": record.main_contact_id,
            "caller_number": record.caller,
            "callee_number": record.dialled,
            "started_at": record.started_at,
            "handoff_at": handoff.handoff_at,
            "confirmed": handoff.confirmed,
        }
        agents = {key: _flat(value) for key, value in handoff.data.items()}
        return cls(id=record.call_id, shared_id=handoff.shared_id, data=HandoffData.model_validate(agents | ours))


def _flat(value: Any) -> Scalar:  # noqa: ANN401 (whatever JSON the agent sent)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    scalar: Scalar = value
    return scalar


class HandoffSummary(Schema):
    """How a handoff stands."""

    state: HandoffState
    destination: str
    method: Literal["release", "refer", "invite"]
    reason: str
    confirmed: bool | None
    handoff_at: Moment
    finished_at: Moment | None


class HandoffDetail(HandoffSummary):
    """A handoff in full. `parameters` are those of its Signal."""

    requested_by: str
    utterance: str
    data: dict[str, Any]
    parameters: dict[str, str]
    signal: str
    transfer: str


class CallSummary(Schema):
    """A call in a list or an event."""

    id: str
    shared_id: str
    state: CallState
    contact_id: str
    main_contact_id: str
    caller_number: str
    callee_number: str
    started_at: Moment
    answered_at: Moment | None
    ended_at: Moment | None
    ended_by: EndedBy | None
    result: Result | None
    reason: str
    handoff: HandoffSummary | None

    @classmethod
    def of(cls, record: CallRecord) -> Self:
        """Show a record."""
        return cls.model_validate(_call(record, HandoffSummary))


class _AsJsonText:
    """Describes a value that is written as a text of JSON."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": handler(core)}


class EventMessage(Schema):
    """One event of a stream, by the names of its fields there."""

    event: EventName
    data: Annotated[CallSummary, _AsJsonText()]


class CallDetail(CallSummary):
    """One call in full."""

    handoff: HandoffDetail | None
    transcript: tuple[Turn, ...]

    @classmethod
    def of(cls, record: CallRecord) -> Self:
        """Show a record."""
        return cls.model_validate(_call(record, HandoffDetail) | {"transcript": record.transcript})


def _call(record: CallRecord, handoff: type[HandoffSummary]) -> dict[str, Any]:
    return {
        "id": record.call_id,
        "shared_id": record.shared_id,
        "state": record.state,
        "contact_id": record.contact_id,
        "main_contact_id": record.main_contact_id,
        "caller_number": record.caller,
        "callee_number": record.dialled,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "ended_by": record.ended_by,
        "result": record.result,
        "reason": record.reason,
        "handoff": record.handoff and handoff.model_validate(record.handoff, from_attributes=True),
    }


class CallList(Schema):
    """Calls, newest first."""

    calls: list[CallSummary]


class HandoffAccepted(Schema):
    """The handoff is under way."""

    id: str
    state: HandoffState


class CallAccepted(Schema):
    """What was asked of the call is under way."""

    id: str


class DrainAccepted(Schema):
    """No more calls are taken; so many are in progress."""

    state: Literal["draining"]
    calls: int


class Reloaded(Schema):
    """The configuration was read again.

    `restart_required` names keys whose change takes effect with a restart; `warnings` are those of `sipbridge check`.
    """

    reloaded: Literal[True]
    restart_required: list[str]
    warnings: list[str]


class BridgeStatus(Schema):
    """The bridge as it stands. `calls` are those in progress."""

    version: str
    draining: bool
    calls: int
    since: Moment


class Health(Schema):
    """The process works, or takes calls."""

    status: Literal["ok", "ready"]


class OpenApiDocument(Schema):
    """The description of this API (OpenAPI 3.1)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    openapi: str = Field(pattern=r"^3\.1\.")
