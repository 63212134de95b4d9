"""The `handoff` event: what the agent asks for, and the answer that goes back to it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import from_json

from sipbridge.calls.handoff_request import HandoffRequest, name_faults
from sipbridge.calls.model import HandoffState
from sipbridge.calls.ports import LiveCall
from sipbridge.errors import HandoffConflict, HandoffInvalid


def ask(call: LiveCall, message: bytes | bytearray) -> Mapping[str, object]:
    """Hand off as the message, a JSON object, asks; returns the answer: `id` and `state`, or `status` and why not.

    The status is that of the HTTP API: 409 where somebody was quicker, 422 where the request cannot be carried out.
    """
    try:
        # pydantic's own parser, as for the HTTP API: it stops at 200 levels of nesting and at 4,300 digits.
        wish = HandoffRequest.model_validate(from_json(message, allow_inf_nan=False).get("handoff"))
        record = call.request_handoff(wish, requested_by="agent")
    except HandoffConflict as error:
        return _refusal(HandoffConflict.http_status, str(error))
    except HandoffInvalid as error:
        return _refuse_invalid(call, str(error))
    except ValidationError as error:
        return _refuse_invalid(call, name_faults(error, "handoff"))
    except ValueError as error:
        return _refuse_invalid(call, f"the message cannot be read: {error}")
    return {"id": record.call_id, "state": HandoffState.INITIATED}


def _refuse_invalid(call: LiveCall, why: str) -> Mapping[str, object]:
    call.note_fault("bad_handoff", why)
    return _refusal(HandoffInvalid.http_status, why)


def _refusal(status: int, why: str) -> Mapping[str, object]:
    return {"status": status, "error_message": why}
