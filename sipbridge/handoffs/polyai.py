"""The result of a PolyAI function, read as a handoff request.

Source: docs.poly.ai, return values of functions: `{"utterance", "handoff": {"type", "reason", METHOD: {…}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from pydantic import BaseModel

from sipbridge.handoffs.json_values import without_nulls

_METHODS = ("cxone", "refer", "invite", "bye")


class PolyaiFunctionResult(BaseModel):
    """The result of a PolyAI function (docs.poly.ai): `handoff` has a `type`, a `reason` and an object of that name."""

    utterance: str | None = None
    handoff: dict[str, Any]


def is_function_result(body: object) -> TypeGuard[dict[str, Any]]:
    """True if a request body is the result of a PolyAI function rather than our own handoff request."""
    return isinstance(body, dict) and "handoff" in body


def to_handoff_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the handoff request. Raises `ValueError` for a shape that PolyAI does not document.

    `bye` and `cxone` release the call. `refer` and `invite` go to their `refer_to` or `outbound_endpoint`, else to the
    destination's URI with `phone_number` as its user part.
    """
    handoff = without_nulls(body["handoff"])
    if not isinstance(handoff, dict):
        raise ValueError("handoff must be an object")  # noqa: TRY004 (pydantic reports a ValueError as a fault of the field)
    request = {key: handoff.get(key) for key in ("destination", "reason", "data", "shared_id")}
    request["utterance"] = body.get("utterance")
    method = handoff.get("type") or next((name for name in _METHODS if name in handoff), "cxone")
    if method not in _METHODS:
        raise ValueError("handoff.type must be cxone, refer, invite or bye")
    details = handoff.get(method, {})
    if not isinstance(details, dict):
        raise ValueError(f"handoff.{method} must be an object")  # noqa: TRY004 (as above)
    request["sip_headers"] = details.get("sip_headers")
    if method == "cxone":
        signal = details.get("signal")
        request["parameters"] = signal.get("params") if isinstance(signal, dict) else None
    else:
        request["method"] = "release" if method == "bye" else method
        route = details.get("refer_to") or details.get("outbound_endpoint") or details.get("phone_number")
        if route:
            request["route"] = route
    return request
