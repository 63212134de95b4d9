"""The record of a handoff, and of what was said before it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def _written_out(value: object) -> object:
    # pydantic would take seconds since 1970 as well, and a text of digits for them.
    if not isinstance(value, datetime) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", str(value)):
        raise ValueError("must be a time as RFC 3339 writes it")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # in UTC it would be before the year 1, or after 9999
        return _FIRST if value.year == 1 else _LAST


# RFC 3339 as it comes from outside; UTC here.
Timestamp = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
# What others call the two: OpenAI, PolyAI, CXone.
_ROLES = {"user": "caller", "customer": "caller", "assistant": "agent"}


def _our_role(value: object) -> object:
    return _ROLES.get(value, value) if isinstance(value, str) else value


Role = Annotated[
    Literal["agent", "caller"],
    BeforeValidator(_our_role, json_schema_input_type=Literal["agent", "caller", "assistant", "user", "customer"]),
]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Turn(BaseModel):
    """One utterance of the conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    text: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    at: Timestamp | None = None


class HandoffState(StrEnum):
    """Where a handoff stands: the value of `handoff_state`."""

    INITIATED = "handoff_initiated"
    COMPLETED = "handoff_completed"
    FAILED = "handoff_failed"


class HandoffRecord(BaseModel):
    """A handoff as it is stored and shown.

    `confirmed` is true where CXone or the destination showed that it took the caller, false where it only accepted
    the Signal or the transfer, and null while that is open. `signal` is one of `accepted`, `refused`,
    `undelivered`, `unknown`, `duplicate` and `none`; `transfer` is what became of the destination's method.
    """

    model_config = ConfigDict(frozen=True)

    state: HandoffState
    shared_id: str
    destination: str
    method: Literal["release", "refer", "invite"]
    reason: str
    requested_by: str
    utterance: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)
    signal: str = "none"
    transfer: str = ""
    confirmed: bool | None = None
    handoff_at: AwareDatetime
    finished_at: AwareDatetime | None = None
