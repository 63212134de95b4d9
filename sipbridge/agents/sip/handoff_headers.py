"""A handoff, as a SIP agent asks for it: by the Refer-To of a REFER, by X-Handoff- headers of a REFER or BYE.

    X-Handoff-Destination, -Reason, -Utterance, -Shared-Id, -Route    the fields of these names
    X-Handoff-P1 … -P9                                                parameters of the Signal
    X-Handoff-Data                                                    data, a JSON object
    X-Handoff-Data-NAME                                               one key of it: lower case, hyphens as underscores

Values are taken as they are, and percent-decoded where they stand in a URI. Everything here raises `ValueError` for
what cannot be read, with a message that names the header and never quotes its value; nothing here looks at the call.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from sipbridge.agents.sip.refer_to import read_refer_to
from sipbridge.calls.ports import Headers, Referral
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.handoffs.validation import describe_fault, read_json

_PREFIX = "x-handoff-"
_TEXTS = {name.replace("_", "-"): name for name in ("destination", "reason", "utterance", "shared_id", "route")}
_PARAMETER = re.compile(r"p[0-9]+")
_DATA_KEY = re.compile(r"data-([a-z0-9_-]{1,64})")
_SHOWN_CHARACTERS = 64


def asks_for_handoff(headers: Headers) -> bool:
    """Whether a BYE with these headers hands off."""
    return any(map(_is_ours, headers))


def read_bye(headers: Headers) -> HandoffRequest:
    """Read the handoff that a BYE asks for."""
    return _request(_fields(headers))


def read_refer(referral: Referral, destinations: Collection[str]) -> HandoffRequest:
    """Read the handoff that a REFER asks for; `destinations` are the names that the project has.

    The user part names one, else the URI is a route. What X-Handoff- headers say wins over the URI, those of the
    REFER over those in the URI; other X- headers in the URI go with the transfer.
    """
    to = read_refer_to(referral.refer_to)
    if "Replaces" in to.headers:
        raise ValueError("Refer-To asks for an attended transfer (Replaces); only a blind one can be done")
    target = {"destination": to.user} if to.user in destinations else {"route": to.uri}
    own = {name: value for name, value in to.headers.items() if name.lower().startswith("x-") and not _is_ours(name)}
    # In lower case, so that one beside the REFER takes the place of one in its URI.
    asked = {name.lower(): value for headers in (to.headers, referral.headers) for name, value in headers.items()}
    return _request({**target, "sip_headers": own, **_fields(asked)})


def _is_ours(name: str) -> bool:
    return name.lower().startswith(_PREFIX)


def _fields(headers: Mapping[str, str]) -> dict[str, Any]:
    """Sort the X-Handoff- headers into the fields of a request."""
    fields: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    data: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for name, value in headers.items():
        if not _is_ours(name):
            continue
        _must_be_text(name, value)
        what = name.lower().removeprefix(_PREFIX)
        if what in _TEXTS:
            # An empty one says nothing; an empty parameter says that it is not to be sent.
            fields.update({_TEXTS[what]: value} if value else {})
        elif _PARAMETER.fullmatch(what):
            parameters[what] = value
        elif what == "data":
            data = _json_object(value)
        elif what.startswith("data-"):
            keys[_data_key(what)] = value
    return {**fields, "parameters": parameters, "data": {**data, **keys}}


def _must_be_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_spelt(name)} is no UTF-8") from None


def _json_object(value: str) -> dict[str, Any]:
    try:
        data = read_json(value or "{}")
    except ValueError as error:
        raise ValueError(f"X-Handoff-Data {error}") from None
    if not isinstance(data, dict):
        raise ValueError("X-Handoff-Data must be an object")  # noqa: TRY004 (one kind of error for all that cannot be read)
    return data


def _data_key(what: str) -> str:
    found = _DATA_KEY.fullmatch(what)
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
        raise ValueError("X-Handoff-Data is nested too deep") from None


def _header_of(place: tuple[int | str, ...]) -> str:
    """Say which header a field came from."""
    field, *rest = map(str, place)
    if field == "sip_headers" and rest:
        return _spelt(rest[0])
    return _spelt(_PREFIX + (rest[0] if field == "parameters" and rest else field.replace("_", "-")))


def _spelt(name: str) -> str:
    """Write a header's name, or what is given for one, in a message."""
    return name[:_SHOWN_CHARACTERS].title()
