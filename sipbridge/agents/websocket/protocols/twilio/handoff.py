"""The `handoff` event: the agent's request, the response to it, and what we say about a handoff."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.errors import ErrorCode, HandoffConflict, HandoffInvalid
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.handoffs.validation import name_faults, name_first_fault, read_json

# In lower case: an event named handoff, as JSON, as JSON inside a JSON string, with single quotes or with an unquoted
# key; or an object of that name. Each pattern begins with a literal, so that a search of 4 MiB takes milliseconds.
_HANDOFF_EVENTS = (
    re.compile(rb"""event\\?["']?\s*:\s*\\?["']\s*hand[-_ ]?off"""),
    re.compile(rb"""hand[-_ ]?off\\?["']\s*:"""),
)


def is_spelled(event: str) -> bool:
    """Return True for `Handoff`, `hand_off` and similar spellings, which can only mean `handoff`."""
    return re.sub("[-_ ]", "", event).lower() == "handoff"


def names_handoff(payload: bytes | bytearray) -> bool:
    """Return True if an unreadable message names a handoff as its event. Use it for unreadable messages only."""
    text = payload.lower()
    return b"hand" in text and any(event.search(text) for event in _HANDOFF_EVENTS)


def request_handoff(call: LiveCall, message: bytes | bytearray) -> Mapping[str, object]:
    """Request the handoff of a message, a JSON object. Return the response: `id` and `state`, or the error.

    Status and code of an error are those of the HTTP API: 409 after another request, 422 for an invalid one.
    """
    try:
        read = read_json(message)
        request = HandoffRequest.model_validate(read.get("handoff") if isinstance(read, dict) else None)
        record = call.request_handoff(request, requested_by="agent")
    except HandoffConflict as error:
        return _refusal(HandoffConflict.http_status, HandoffConflict.code, str(error))
    except HandoffInvalid as error:
        return refuse(call, HandoffInvalid.code, str(error))
    except ValidationError as error:
        why = name_first_fault(error, HandoffRequest.model_fields)
        return refuse(call, "invalid_request", name_faults(error, "handoff"), why)
    except ValueError as error:
        # Deeper nesting or longer numbers than a handoff may have.
        return refuse(call, "invalid_json", f"the message {error}")
    return {"id": record.call_id, "state": HandoffState.INITIATED}


def describe(call: LiveCall, handoff: HandoffRecord) -> Mapping[str, object]:
    """Return the state of a handoff, as in the response, with its `reason` if the agent has its caller back."""
    state: dict[str, object] = {"id": call.record.call_id, "state": handoff.state}
    return state | {"reason": handoff.transfer} if handoff.taken_back else state


def refuse(call: LiveCall, code: ErrorCode, message: str, why: str = "") -> Mapping[str, object]:
    """Return the error response to an invalid handoff, and note it: if the agent leaves now, the caller is handed off.

    `why` replaces `message` in the log if the message quotes keys of the request, which may hold any text.
    """
    call.note_refused_handoff("bad_handoff", why or message)
    return _refusal(HandoffInvalid.http_status, code, message)


def _refusal(status: int, code: ErrorCode, why: str) -> Mapping[str, object]:
    return {"status": status, "error_message": why, "code": code}
