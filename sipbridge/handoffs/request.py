"""The request of a handoff, as an agent or the HTTP API sends it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sipbridge.config import NAME_CHARACTER, ParameterName
from sipbridge.handoffs.json_values import check_data, to_utf8_text, without_nulls
from sipbridge.handoffs.polyai import is_function_result, to_handoff_request
from sipbridge.handoffs.record import Turn
from sipbridge.telephony.header_size import MAX_HEADER_BYTES, header_bytes

MAX_PARAMETER_CHARACTERS = 16_384


def describe_nulls(schema: dict[str, Any]) -> None:
    """Allow null in every property of a JSON schema."""
    fields = schema["properties"]
    for name, field in fields.items():
        if {"type": "null"} not in field.get("anyOf", ()):
            fields[name] = {"anyOf": [field, {"type": "null"}]}


# A parameter in a request, and as it is kept.
_ParameterValue = (
    Annotated[str, Field(max_length=MAX_PARAMETER_CHARACTERS)] | dict[str, Any] | list[Any] | float | bool | None
)
ParameterText = Annotated[
    str,
    BeforeValidator(to_utf8_text, json_schema_input_type=_ParameterValue),
    Field(max_length=MAX_PARAMETER_CHARACTERS),
]
# An X- header (RFC 3261, 25.1). Its value has no line breaks and, of the control characters, only tabs.
HeaderName = Annotated[str, Field(pattern=rf"^[Xx]-{NAME_CHARACTER}{{1,60}}$")]
HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
Name = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _check_size(headers: dict[str, str]) -> dict[str, str]:
    if sum(header_bytes(*header) for header in headers.items()) > MAX_HEADER_BYTES:
        raise ValueError(f"must not exceed {MAX_HEADER_BYTES} bytes in all")
    return headers


class HandoffRequest(BaseModel):
    """A request to hand the caller to a human agent. Every field is optional, and null means not set.

    `route` replaces the destination's URI and must match the project's `allowed_routes`; `method` replaces its method.
    `parameters` win over the project's signal template, `sip_headers` over the destination's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_nulls)

    destination: Name | None = None
    reason: Name | None = None
    utterance: Annotated[str, Field(max_length=MAX_PARAMETER_CHARACTERS)] = ""
    route: Annotated[str, Field(max_length=1024)] | None = None
    method: Literal["release", "refer", "invite"] | None = None
    sip_headers: Annotated[
        dict[HeaderName, HeaderValue],
        BeforeValidator(without_nulls, json_schema_input_type=dict[HeaderName, HeaderValue | None]),
        AfterValidator(_check_size),
    ] = Field(default_factory=dict, json_schema_extra={"additionalProperties": False})
    parameters: Annotated[dict[ParameterName, ParameterText], BeforeValidator(without_nulls)] = Field(
        default_factory=dict
    )
    data: Annotated[dict[str, Any], AfterValidator(check_data)] = Field(default_factory=dict)
    shared_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    transcript: tuple[Turn, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: object) -> object:
        if is_function_result(body):
            body = to_handoff_request(body)
        return without_nulls(body)
