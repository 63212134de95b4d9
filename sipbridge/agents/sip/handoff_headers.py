"""The handoff that a SIP agent requests: Refer-To of a REFER, and X-Handoff- headers of a REFER or BYE.

    X-Handoff-Destination, -Reason, -Utterance, -Shared-Id, -Route    the fields of these names
    X-Handoff-P1 … -P9                                                parameters of the Signal
    X-Handoff-Data                                                    data, a JSON object
    X-Handoff-Data-NAME                                               one key of it: lower case, hyphens as underscores

Values are used unchanged; those in a URI are percent-decoded. Unreadable input raises `ValueError` with a message that
names the header and never quotes its value. No function here depends on the state of the call.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from sipbridge.agents.sip.refer_to import read_refer_to
from sipbridge.calls.ports.sip import Headers, Referral
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.handoffs.validation import describe_fault, read_json

_PREFIX = "x-handoff-"
_TEXTS = {name.replace("_", "-"): name for name in ("destination", "reason", "utterance", "shared_id", "route")}
_PARAMETER = re.compile(r"p[0-9]+")
_DATA_KEY = re.compile(r"data-([a-z0-9_-]{1,64})")
_SHOWN_CHARACTERS = 64


def asks_for_handoff(headers: Headers) -> bool:
    """Return True if a BYE with these headers requests a handoff."""
    return any(map(_is_handoff_header, headers))


def read_bye(headers: Headers) -> HandoffRequest:
    """Read the handoff that a BYE requests."""
    return _request(_fields(headers))


def read_refer(referral: Referral, destinations: Collection[str]) -> HandoffRequest:
    """Read the handoff that a REFER requests. `destinations` are the names that the project has.

    The user part is the name of a destination; otherwise the URI is a route. X-Handoff- headers override the URI, and
    those of the REFER override those in the URI. Other X- headers in the URI are sent with the transfer.
    """
    to = read_refer_to(referral.refer_to)
    if "Replaces" in to.headers:
        raise ValueError("Refer-To requests an attended transfer (Replaces); only blind transfer is supported")
    target = {"destination": to.user} if to.user in destinations else {"route": to.uri}
    own = {
        name: value
        for name, value in to.headers.items()
        if name.lower().startswith("x-") and not _is_handoff_header(name)
    }
    # In lower case, so that a header of the REFER replaces the same header in its URI.
    asked = {name.lower(): value for headers in (to.headers, referral.headers) for name, value in headers.items()}
    return _request({**target, "sip_headers": own, **_fields(asked)})


def _is_extension(name: str) -> bool:
    return name.lower().startswith("x-")


def _is_handoff_header(name: str) -> bool:
    return name.lower().startswith(_PREFIX)


def _fields(headers: Mapping[str, str]) -> dict[str, Any]:
    """Sort the X-Handoff- headers into the fields of a request."""
    fields: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    data: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for name, value in headers.items():
        if not _is_handoff_header(name):
            continue
        _check_utf8(name, value)
        key = name.lower().removeprefix(_PREFIX)
        if key in _TEXTS:
            # An empty field is as if missing. An empty parameter is not sent in the Signal.
            fields.update({_TEXTS[key]: value} if value else {})
        elif _PARAMETER.fullmatch(key):
            parameters[key] = value
        elif key == "data":
            data = _json_object(value)
        elif key.startswith("data-"):
            keys[_data_key(key)] = value
    return {**fields, "parameters": parameters, "data": {**data, **keys}}


def _check_utf8(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_printable_name(name)} is not UTF-8") from None


def _json_object(value: str) -> dict[str, Any]:
    try:
        data = read_json(value or "{}")
    except ValueError as error:
        raise ValueError(f"X-Handoff-Data {error}") from None
    if not isinstance(data, dict):
        raise ValueError("X-Handoff-Data must be an object")  # noqa: TRY004 (one type of error for all unreadable input)
    return data


def _data_key(key: str) -> str:
    found = _DATA_KEY.fullmatch(key)
    if not found:
        raise ValueError("X-Handoff-Data-NAME has no name, or one that is not 1 to 64 letters, digits and hyphens")
    return found.group(1).replace("-", "_")


def _request(fields: dict[str, Any]) -> HandoffRequest:
    try:
        return HandoffRequest.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{_header_of(fault['loc'])} {describe_fault(fault)}") from None
    except RecursionError:
        raise ValueError("X-Handoff-Data is nested too deeply") from None


def _header_of(location: tuple[int | str, ...]) -> str:
    """Return the name of the header that a field came from."""
    field, *rest = map(str, location)
    if field == "sip_headers":
        return _printable_name(rest[0]) if rest else "Refer-To"
    return _printable_name(_PREFIX + (rest[0] if field == "parameters" and rest else field.replace("_", "-")))


def _printable_name(name: str) -> str:
    """Return a header's name for a message, shortened and in title case."""
    return name[:_SHOWN_CHARACTERS].title()
