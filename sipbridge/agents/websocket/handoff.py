"""The `handoff` event: what the agent asks for, and the answer that goes back to it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from sipbridge.calls.ports import LiveCall
from sipbridge.errors import ErrorCode, HandoffConflict, HandoffInvalid
from sipbridge.handoffs.record import HandoffState
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.handoffs.validation import name_faults, name_first_fault, read_json

# An event named handoff, as JSON writes it, as JSON in a JSON string, with single quotes, or with no quotes at the key;
# or an object of that name. In lower case. Each begins with a literal: so the search of 4 MiB takes milliseconds.
_WISHES = (
    re.compile(rb"""event\\?["']?\s*:\s*\\?["']\s*hand[-_ ]?off"""),
    re.compile(rb"""hand[-_ ]?off\\?["']\s*:"""),
)


def is_spelled(event: str) -> bool:
    """Return True for `Handoff`, `hand_off` and the like: what else than `handoff` could be meant?"""
    return re.sub("[-_ ]", "", event).lower() == "handoff"


def is_wish(payload: bytes | bytearray) -> bool:
    """Return True if a message that cannot be read names a handoff as its event. For such messages only."""
    text = payload.lower()
    return b"hand" in text and any(wish.search(text) for wish in _WISHES)


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
        return refuse(call, HandoffInvalid.code, str(error))
    except ValidationError as error:
        why = name_first_fault(error, HandoffRequest.model_fields)
        return refuse(call, "invalid_request", name_faults(error, "handoff"), why)
    except ValueError as error:
        # Nested deeper, or with longer numbers, than a handoff may be.
        return refuse(call, "invalid_json", f"the message {error}")
    return {"id": record.call_id, "state": HandoffState.INITIATED}


def refuse(call: LiveCall, code: ErrorCode, message: str, why: str = "") -> Mapping[str, object]:
    """Return the response to a handoff that cannot be; should the agent leave now, its caller is not lost.

    `why` is for the log if the message names keys of the request, which may be anything.
    """
    call.note_refused_handoff("bad_handoff", why or message)
    return _refusal(HandoffInvalid.http_status, code, message)


def _refusal(status: int, code: ErrorCode, why: str) -> Mapping[str, object]:
    return {"status": status, "error_message": why, "code": code}
