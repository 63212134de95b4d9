"""The `handoff` event: what the agent asks for, and the answer that goes back to it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from sipbridge.calls.handoff_request import HandoffRequest
from sipbridge.calls.model import HandoffState
from sipbridge.calls.ports import LiveCall
from sipbridge.calls.validation import name_faults, name_first_fault, read_json
from sipbridge.errors import ErrorCode, HandoffConflict, HandoffInvalid


def ask(call: LiveCall, message: bytes | bytearray) -> Mapping[str, object]:
    """Hand off as the message, a JSON object, asks; return the response: `id` and `state`, or why not.

    Status and code are those of the HTTP API: 409 if another request was first, 422 if this one cannot be carried out.
    """
    try:
        read = read_json(message)
        wish = HandoffRequest.model_validate(read.get("handoff") if isinstance(read, dict) else None)
        record = call.request_handoff(wish, requested_by="agent")
    except HandoffConflict as error:
        return _refusal(HandoffConflict.http_status, HandoffConflict.code, str(error))
    except HandoffInvalid as error:
        return _refuse_invalid(call, HandoffInvalid.code, str(error))
    except ValidationError as error:
        why = name_first_fault(error, HandoffRequest.model_fields)
        return _refuse_invalid(call, "invalid_request", name_faults(error, "handoff"), why)
    except ValueError as error:
        return _refuse_invalid(call, "invalid_json", f"the message {error}")
    return {"id": record.call_id, "state": HandoffState.INITIATED}


def _refuse_invalid(call: LiveCall, code: ErrorCode, message: str, why: str = "") -> Mapping[str, object]:
    call.note_refused_handoff("bad_handoff", why or message)
    return _refusal(HandoffInvalid.http_status, code, message)


def _refusal(status: int, code: ErrorCode, why: str) -> Mapping[str, object]:
    return {"status": status, "error_message": why, "code": code}
