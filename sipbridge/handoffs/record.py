"""The record of a handoff, and the turns of the conversation before it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def _only_rfc_3339(value: object) -> object:
    # pydantic would accept seconds since 1970 as well, also as text.
    if not isinstance(value, datetime) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", str(value)):
        raise ValueError("must be an RFC 3339 time, like 2026-01-31T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # before the year 1 in UTC, or after 9999
        return _FIRST if value.year == 1 else _LAST


# An RFC 3339 time in a request; kept in UTC.
Timestamp = Annotated[AwareDatetime, BeforeValidator(_only_rfc_3339), AfterValidator(_in_utc)]
# The names that OpenAI, PolyAI and CXone use.
_ROLES = {"user": "caller", "customer": "caller", "assistant": "agent"}


def _to_role(value: object) -> object:
    return _ROLES.get(value, value) if isinstance(value, str) else value


Role = Annotated[
    Literal["agent", "caller"],
    BeforeValidator(_to_role, json_schema_input_type=Literal["agent", "caller", "assistant", "user", "customer"]),
]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


_set = object.__setattr__


class Record(BaseModel):
    """The base of records: a change makes a new one."""

    model_config = ConfigDict(frozen=True)

    def changed(self, **changes: object) -> Self:
        """Return the record with these fields changed, which are not validated.

        As `model_copy`, which takes twice as long, and would keep `as_json`: it also copies what records do not have,
        and the set of the fields that were set, which nothing reads.
        """
        other = self.__class__.__new__(self.__class__)
        values = self.__dict__ | changes
        values.pop("as_json", None)
        _set(other, "__dict__", values)
        _set(other, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        _set(other, "__pydantic_extra__", None)
        _set(other, "__pydantic_private__", None)
        return other

    @cached_property
    def as_json(self) -> str:
        """Its JSON, made once: the journal and the store often write the same one. Raises `ValueError` as pydantic."""
        return self.model_dump_json()


class Turn(BaseModel):
    """One utterance of the conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    text: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    at: Timestamp | None = None


class HandoffState(StrEnum):
    """The state of a handoff: the value of `handoff_state`."""

    INITIATED = "handoff_initiated"
    COMPLETED = "handoff_completed"
    FAILED = "handoff_failed"


class HandoffRecord(Record):
    """A handoff, as it is stored and as the API shows it.

    `confirmed` is true if CXone or the destination showed that it took the caller, false if it only accepted the Signal
    or the transfer or if the handoff failed, and null while the handoff is in progress. `signal` is the result of the
    Signal, or `none`; `transfer` is the result of the destination's method. `taken_back` is true if the agent got the
    caller back.
    """

    state: HandoffState
    shared_id: str
    destination: str
    method: Literal["release", "refer", "invite", "chat"]
    reason: str
    requested_by: str
    utterance: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)
    signal: str = "none"
    transfer: str = ""
    confirmed: bool | None = None
    taken_back: bool = False
    handoff_at: AwareDatetime
    finished_at: AwareDatetime | None = None
