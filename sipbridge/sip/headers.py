"""Reads an INVITE as it came over the wire.

PJSIP has accepted the message by then; what it gives us is the text (RFC 3261, 7.3): header names in any case, folded
lines, compact forms, several values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from multidict import CIMultiDict, CIMultiDictProxy

from sipbridge.calls.model import Invite
from sipbridge.calls.ports import Referral

# RFC 3261, 7.3.3; RFC 3515, 2.1; RFC 4028, 4; RFC 3892, 3; RFC 6665, 8.2.1.
_COMPACT = {
    "i": "Call-ID",
    "m": "Contact",
    "e": "Content-Encoding",
    "l": "Content-Length",
    "c": "Content-Type",
    "f": "From",
    "s": "Subject",
    "k": "Supported",
    "t": "To",
    "v": "Via",
    "r": "Refer-To",
    "b": "Referred-By",
    "x": "Session-Expires",
    "o": "Event",
    "u": "Allow-Events",
}

_HEAD_END = re.compile(rb"\r?\n\r?\n")
# Not str.splitlines: it ends lines at characters that SIP lets into a value, such as a displayed name.
_LINE_END = re.compile(r"\r\n|\r|\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_USER = re.compile(r"(?:sips?|tel):(?:([^@>]*)@)?([^>;?]*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_invite(message: bytes, source_address: str, source_port: int, transport: str) -> Invite:
    """Read an INVITE. Never raises: what is wrong with the message stands in `malformed`.

    Bytes that are no UTF-8 come out as replacement characters, so that no value leaves here that cannot be written on.
    """
    end = _HEAD_END.search(message)
    head = message[: end.start()] if end else message
    body_bytes = len(message) - end.end() if end else 0
    lines = _LINE_END.split(_FOLD.sub(" ", head.decode("utf-8", "replace")))
    headers = _headers(lines[1:])
    request_line = lines[0].split(" ") if lines else []
    request_uri = request_line[1] if len(request_line) > 1 else ""
    return Invite(
        sip_call_id=headers.get("Call-ID", ""),
        source_address=source_address,
        source_port=source_port,
        transport=transport,
        dialled=tuple(user for user in (user_part(request_uri), user_part(headers.get("To", ""))) if user),
        caller=user_part(headers.get("From", "")),
        headers=headers,
        malformed=_fault(headers, body_bytes),
    )


def read_referral(message: bytes) -> Referral:
    """Read a REFER that PJSIP found to have one Refer-To. Never raises."""
    end = _HEAD_END.search(message)
    head = message[: end.start()] if end else message
    headers = _headers(_LINE_END.split(_FOLD.sub(" ", head.decode("utf-8", "replace")))[1:])
    return Referral(headers.get("Refer-To", ""), _extensions(headers))


def read_header_lines(text: str) -> Mapping[str, str]:
    """Read the X- headers among lines of a message's head, the first value of each."""
    return _extensions(_headers(_LINE_END.split(text))) if text else {}


def _extensions(headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower().startswith("x-") and name not in found:
            found[name] = value
    return CIMultiDictProxy(found)


def _headers(lines: list[str]) -> CIMultiDictProxy[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip()
            headers.add(_COMPACT.get(name.lower(), name), value.strip())
    return CIMultiDictProxy(headers)


def user_part(uri: str) -> str:
    """The user part of the first SIP or tel URI in a header value, percent-escapes decoded; empty where there is none.

    The number of a tel URI stands where a SIP URI has its host (RFC 3966, 3).
    """
    found = _USER.search(_QUOTED.sub("", uri))
    if not found:
        return ""
    user, rest = found.groups()
    if user is None:
        user = rest if found.group(0).lower().startswith("tel:") else ""
    return _CONTROL.sub("", unquote(user.split(":")[0]))


def _fault(headers: CIMultiDictProxy[str], body_bytes: int) -> str | None:
    promised = headers.get("Content-Length", "0")
    if not (promised.isascii() and promised.isdigit()):
        return "Content-Length is no number"
    # PJSIP takes a datagram that was cut short for a whole message.
    if body_bytes < int(promised.lstrip("0")[:10] or "0"):
        return "the body is shorter than Content-Length says"
    # PJSIP would put the new call in the place of another (RFC 3891), past admission and project.
    if "Replaces" in headers:
        return "Replaces is not taken on a trunk"
    return None
