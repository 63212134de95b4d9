"""What an agent may ask for when it hands a caller off: our own shape, and the one that PolyAI functions return."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sipbridge.config import NAME_CHARACTER, ParameterName
from sipbridge.handoffs.record import Turn

MAX_PARAMETER_CHARACTERS = 16_384
MAX_DATA_CHARACTERS = 65_536
# As deep as a body of the HTTP API may be; pydantic writes no more than 255.
MAX_DATA_LEVELS = 200


def _parameter_text(value: object) -> str:
    """An object travels as its JSON text (CXone passes strings only)."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    _must_be_whole(text)
    return text


def _must_be_whole(text: str) -> None:
    """Raise `ValueError` for a lone surrogate, which has no UTF-8. pydantic looks for it only where it expects text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold a lone surrogate, which is half a character") from None


def _nested(value: object, levels: int) -> bool:
    """Whether there are more levels of objects and lists than that."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_nested(each, levels - 1) for each in inner)


def _small_enough(data: dict[str, Any]) -> dict[str, Any]:
    if _nested(data, MAX_DATA_LEVELS):
        raise ValueError(f"must not be nested over {MAX_DATA_LEVELS} levels")
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError("must not hold a number that JSON has not, or of over 4,300 digits") from None
    _must_be_whole(text)
    if len(text) > MAX_DATA_CHARACTERS:
        raise ValueError(f"must not be over {MAX_DATA_CHARACTERS} characters as JSON")
    return data


def _without_nulls(value: object) -> object:
    """A null is as if it were left out: client libraries write one for each field that they were not given."""
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


def _describe_nulls(schema: dict[str, Any]) -> None:
    """Allow null in every property of a JSON schema."""
    fields = schema["properties"]
    for name, field in fields.items():
        if {"type": "null"} not in field.get("anyOf", ()):
            fields[name] = {"anyOf": [field, {"type": "null"}]}


# As it may come, and as it is kept.
_ParameterValue = (
    Annotated[str, Field(max_length=MAX_PARAMETER_CHARACTERS)] | dict[str, Any] | list[Any] | float | bool | None
)
ParameterText = Annotated[
    str,
    BeforeValidator(_parameter_text, json_schema_input_type=_ParameterValue),
    Field(max_length=MAX_PARAMETER_CHARACTERS),
]
# An X- header (RFC 3261, 25.1); text with no line breaks or control characters but tabs.
HeaderName = Annotated[str, Field(pattern=rf"^[Xx]-{NAME_CHARACTER}{{1,60}}$")]
HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
Name = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class HandoffRequest(BaseModel):
    """A wish to give the caller to a human; every field is optional, and null is as if it were left out.

    `route` replaces the destination's URI and is held to the project's `allowed_routes`; `method` replaces its
    method. `parameters` win over the project's signal template, `sip_headers` over the destination's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_describe_nulls)

    destination: Name | None = None
    reason: Name | None = None
    utterance: Annotated[str, Field(max_length=MAX_PARAMETER_CHARACTERS)] = ""
    route: Annotated[str, Field(max_length=1024)] | None = None
    method: Literal["release", "refer", "invite"] | None = None
    sip_headers: Annotated[
        dict[HeaderName, HeaderValue],
        BeforeValidator(_without_nulls, json_schema_input_type=dict[HeaderName, HeaderValue | None]),
    ] = Field(default_factory=dict, json_schema_extra={"additionalProperties": False})
    parameters: Annotated[dict[ParameterName, ParameterText], BeforeValidator(_without_nulls)] = Field(
        default_factory=dict
    )
    data: Annotated[dict[str, Any], AfterValidator(_small_enough)] = Field(default_factory=dict)
    shared_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    transcript: tuple[Turn, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: object) -> object:
        return _without_nulls(_polyai_to_ours(body) if isinstance(body, dict) and "handoff" in body else body)


def _polyai_to_ours(body: dict[str, Any]) -> dict[str, Any]:
    """Read `{"utterance", "handoff": {"type", "reason", METHOD: {…}}}` (docs.poly.ai, function return values).

    `bye` and `cxone` release the call; `refer` and `invite` go to their `refer_to` or `outbound_endpoint`, else to the
    destination's URI with `phone_number` for its user part, which the handoff resolves.
    """
    handoff = _without_nulls(body["handoff"])
    if not isinstance(handoff, dict):
        raise ValueError("handoff must be an object")  # noqa: TRY004 (pydantic reports a ValueError as a fault of the field)
    ours = {key: handoff.get(key) for key in ("destination", "reason", "data", "shared_id")}
    ours["utterance"] = body.get("utterance")
    method = handoff.get("type") or next((m for m in ("cxone", "refer", "invite", "bye") if m in handoff), "cxone")
    if method not in ("cxone", "refer", "invite", "bye"):
        raise ValueError("handoff.type must be cxone, refer, invite or bye")
    details = handoff.get(method, {})
    if not isinstance(details, dict):
        raise ValueError(f"handoff.{method} must be an object")  # noqa: TRY004 (as above)
    ours["sip_headers"] = details.get("sip_headers")
    if method == "cxone":
        signal = details.get("signal")
        ours["parameters"] = signal.get("params") if isinstance(signal, dict) else None
    else:
        ours["method"] = "release" if method == "bye" else method
        route = details.get("refer_to") or details.get("outbound_endpoint") or details.get("phone_number")
        if route:
            ours["route"] = route
    return ours
