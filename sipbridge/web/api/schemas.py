"""The schemas of response bodies."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sipbridge.calls.milestones import Milestone, MilestoneType
from sipbridge.calls.model import CallRecord, CallState, EndedBy
from sipbridge.chats.model import ChatRecord
from sipbridge.errors import ErrorCode
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn

# RFC 3339 with a Z: pydantic's form of UTC.
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Scalar = str | int | float | bool | None


class Schema(BaseModel):
    """A response body. It is written, never read."""

    model_config = ConfigDict(frozen=True)


class ErrorResponse(Schema):
    """An error: a message for people and a code for programs."""

    error_message: str
    code: ErrorCode


class HandoffData(Schema):
    """The agent's data and the keys below. If the agent sent a key of the same name, ours replaces it."""

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
    """A handoff for a screen-pop. `data` is flat: objects and lists that the agent sent are JSON text."""

    id: str
    shared_id: str
    data: HandoffData

    @classmethod
    def of(cls, record: CallRecord, handoff: HandoffRecord) -> Self:
        """Make the response for a call that was handed off."""
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

    @classmethod
    def of_chat(cls, record: ChatRecord) -> Self:
        """Make the response for a chat. What only a call has is empty."""
        handoff, customer = record.handoff, record.customer
        ours = {
            "handoff_state": handoff.state,
            "handoff_reason": handoff.reason,
            "handoff_destination": handoff.destination,
            "utterance": handoff.utterance,
            "contact_id": str(record.channel_state.get("contact_id", "")),
            "main_contact_id": "",
            "caller_number": customer.phone,
            "callee_number": "",
            "started_at": record.started_at,
            "handoff_at": handoff.handoff_at,
            "confirmed": handoff.confirmed,
            "channel": record.channel,
            "chat_state": record.state.value,
            **{f"customer_{name}": value for name, value in customer.model_dump().items()},
        }
        agents = {key: _flat(value) for key, value in handoff.data.items()}
        return cls(id=record.chat_id, shared_id=handoff.shared_id, data=HandoffData.model_validate(agents | ours))


def _flat(value: Any) -> Scalar:  # noqa: ANN401 (any JSON that the agent sent)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    scalar: Scalar = value
    return scalar


class HandoffSummary(Schema):
    """The state of a handoff. `taken_back` is true if the agent got the caller back."""

    state: HandoffState
    destination: str
    method: Literal["release", "refer", "invite"]
    reason: str
    confirmed: bool | None
    taken_back: bool
    handoff_at: Moment
    finished_at: Moment | None


class HandoffDetail(HandoffSummary):
    """All of a handoff. `parameters` are those of its Signal."""

    requested_by: str
    utterance: str
    data: dict[str, Any]
    parameters: dict[str, str]
    signal: str
    transfer: str


class ChatHandoffSummary(Schema):
    """The state of the handoff of a chat."""

    state: HandoffState
    destination: str
    reason: str
    confirmed: bool | None
    handoff_at: Moment
    finished_at: Moment | None


class ChatHandoffDetail(ChatHandoffSummary):
    """All of the handoff of a chat."""

    requested_by: str
    utterance: str
    data: dict[str, Any]


class CallSummary(Schema):
    """A call in a list or an event. `earlier_handoff` was taken back before `handoff` began."""

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
    earlier_handoff: HandoffSummary | None

    @classmethod
    def of(cls, record: CallRecord) -> Self:
        """Convert a record."""
        return cls.model_validate(_call(record, HandoffSummary))


class AsJsonText:
    """The JSON schema of a value that is written as JSON text."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": handler(core)}


class EventMessage(Schema):
    """One event of a stream, with its field names there. `stream.gap` says that earlier events may be missing."""

    id: str | None = None
    event: MilestoneType | Literal["stream.gap"]
    data: Annotated[CallSummary | None, AsJsonText()]


class CallEventMessage(Schema):
    """An event of a call as a webhook gets it. `sequence` rises within a call, with gaps."""

    id: str
    sequence: int
    call_id: str
    type: MilestoneType
    at: Moment
    payload: CallSummary

    @classmethod
    def of(cls, milestone: Milestone) -> Self:
        """Convert a milestone."""
        record = milestone.record
        return cls(
            id=milestone.id,
            sequence=milestone.sequence,
            call_id=record.call_id,
            type=milestone.type,
            at=milestone.at,
            payload=CallSummary.of(record),
        )


def render_milestone(milestone: Milestone) -> str:
    """Return the body of a webhook's request."""
    return CallEventMessage.of(milestone).model_dump_json()


class PageMessage(Schema):
    """A message of a conversation as a page shows it. `side` is that of the caller or customer, or ours."""

    side: Literal["theirs", "ours"]
    name: str
    text: str
    at: Moment | None


class PageUpdate(Schema):
    """A change of a page. `seconds` is the time that `clock` names, which goes on if it `runs`.

    `messages` are those that the page does not have, of `count` in all. Nothing follows if `final`.
    """

    tone: Literal["waiting", "connected", "over", "failed"]
    state: str
    clock: str
    seconds: int
    runs: bool
    final: bool
    messages: list[PageMessage]
    count: int


class PageUpdateMessage(Schema):
    """One event of the stream of a page, with its field names there."""

    id: str
    data: Annotated[PageUpdate, AsJsonText()]


class CallDetail(CallSummary):
    """All of a call."""

    handoff: HandoffDetail | None
    earlier_handoff: HandoffDetail | None
    transcript: tuple[Turn, ...]

    @classmethod
    def of(cls, record: CallRecord) -> Self:
        """Convert a record."""
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
        "earlier_handoff": record.earlier_handoff
        and handoff.model_validate(record.earlier_handoff, from_attributes=True),
    }


class CallList(Schema):
    """Calls, newest first."""

    calls: list[CallSummary]


class HandoffAccepted(Schema):
    """The handoff has started."""

    id: str
    state: HandoffState


class CallAccepted(Schema):
    """The call has accepted the request."""

    id: str


class Health(Schema):
    """The process works (`ok`), or takes new calls (`ready`)."""

    status: Literal["ok", "ready"]


class OpenApiDocument(Schema):
    """The description of this API (OpenAPI 3.1)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    openapi: str = Field(pattern=r"^3\.1\.")
