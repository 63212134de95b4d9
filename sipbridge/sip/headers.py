"""Reads an INVITE as it came over the wire.

PJSIP has accepted the message by then; what it gives us is the text (RFC 3261, 7.3): header names in any case, folded
lines, compact forms, several values.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

# Those that RFC 3261 (7.3.1, 20) has once, of those that decide what a request is.
_SINGLE = ("Call-ID", "Content-Length", "Content-Type", "CSeq", "From", "Max-Forwards", "To")

_HEAD_END = re.compile(rb"\r?\n\r?\n")
# Not str.splitlines: it ends lines at characters that SIP lets into a value, such as a displayed name.
_LINE_END = re.compile(r"\r\n|\r|\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_USER = re.compile(r"(?:sips?|tel):(?:([^@>]*)@)?([^>;?]*)", re.IGNORECASE)
_HOST = re.compile(r"\bsips?:(?:[^@>;,\s]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*)(?=[:;>?,\s]|$)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head, and what is wrong with the request, if anything is."""

    method: str
    uri: str
    headers: CIMultiDictProxy[str]
    malformed: str | None

    @property
    def required(self) -> set[str]:
        """The extensions without which its sender wants no answer (RFC 3261, 20.32)."""
        values = ",".join(self.headers.getall("Require", ())).split(",")
        return {value.strip() for value in values if value.strip()}


def read_request(message: bytes) -> Request:
    """Read a request. Never raises.

    Bytes that are no UTF-8 come out as replacement characters, so that no value leaves here that cannot be written on.
    """
    end = _HEAD_END.search(message)
    head = message[: end.start()] if end else message
    body_bytes = len(message) - end.end() if end else 0
    lines = _LINE_END.split(_FOLD.sub(" ", head.decode("utf-8", "replace")))
    headers = _headers(lines[1:])
    words = [*lines[0].split(), "", ""]
    method, uri = words[0], words[1]
    return Request(method, uri, headers, _fault(method, headers, body_bytes))


def read_invite(message: bytes, source_address: str, source_port: int, transport: str) -> Invite:
    """Read an INVITE. Never raises: what is wrong with the message stands in `malformed`."""
    request = read_request(message)
    headers = request.headers
    return Invite(
        sip_call_id=headers.get("Call-ID", ""),
        source_address=source_address,
        source_port=source_port,
        transport=transport,
        dialled=tuple(user for user in (user_part(request.uri), user_part(headers.get("To", ""))) if user),
        caller=user_part(headers.get("From", "")),
        headers=headers,
        malformed=request.malformed,
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


def _fault(method: str, headers: CIMultiDictProxy[str], body_bytes: int) -> str | None:
    # PJSIP takes one of several, and need not take the same as we do.
    for name in _SINGLE:
        if len(headers.getall(name, ())) > 1:
            return f"{name} came several times"
    if "CSeq" in headers and headers["CSeq"].split()[1:] != [method]:
        return "CSeq names another method"
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


def host_names(uris: Iterable[str]) -> set[str]:
    """The hosts of the SIP URIs in some texts, such as header values, that are names and not addresses."""
    return {host for text in uris for host in _HOST.findall(text) if not _is_address(host)}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
