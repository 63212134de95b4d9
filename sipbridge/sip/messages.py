"""Parses requests as they came over the wire.

PJSIP has accepted the message before, but passes on its text only (RFC 3261, 7.3): header names in any case, folded
lines, compact forms, several values. `read_request` parses all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from multidict import CIMultiDict, CIMultiDictProxy

from sipbridge.calls.model import Invite
from sipbridge.calls.ports.sip import Referral
from sipbridge.config import NAME_CHARACTER
from sipbridge.telephony.sip_uri import SipUri

# The compact forms in IANA's registry of SIP header fields (RFC 3261, 7.3.3, and others).
_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

# Headers that may appear once (RFC 3261, 7.3.1, 20) and that decide how a request is handled.
_SINGLE = ("Call-ID", "Content-Length", "Content-Type", "CSeq", "From", "Max-Forwards", "To")

_HEAD_END = re.compile(rb"\r?\n\r?\n")
# Name and value of each line that is a header. One search for all of them takes less time than a look at each line.
_HEADERS = re.compile(rf"^[^\S\n]*+({NAME_CHARACTER}++)[^\S\n]*+:(.*+)", re.MULTILINE)
# A line that begins with white space continues the one before it; line end and white space count as one space
# (RFC 3261, 7.3.1). Possessive quantifiers keep the time linear.
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\n[ \t]++)+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_URI = re.compile(r"(?:sips?|tel):[^\s<>]*", re.IGNORECASE)
_NUMBER = re.compile(r"(?=.*[0-9])[0-9*#+.() -]+")
_ADDRESS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^<>]*>|[^,"<>])+')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. `malformed` is the fault of the request, None if it has none."""

    method: str
    uri: str
    headers: CIMultiDictProxy[str]
    malformed: str | None

    @property
    def required(self) -> set[str]:
        """The extensions that its sender requires (RFC 3261, 20.32)."""
        values = ",".join(self.headers.getall("Require", ())).split(",")
        return {value.strip() for value in values if value.strip()}


def read_request(message: bytes) -> Request:
    """Parse a request. Never raises.

    Bytes that are not UTF-8 become replacement characters, so that every value can be encoded again.
    """
    end = _HEAD_END.search(message)
    head = message[: end.start()] if end else message
    line, _, fields = _unfold(head.decode("utf-8", "replace")).partition("\n")
    headers = _headers(fields)
    words = [*line.split(), "", ""]
    method, uri = words[0], words[1]
    # Without a blank line the message was truncated: headers may be missing, and the body.
    fault = _fault(method, headers, len(message) - end.end()) if end else "the head has no blank line at its end"
    return Request(method, uri, headers, fault)


def _unfold(head: str) -> str:
    """Return the head with a line feed as the only line end, and each header on one line."""
    # Not str.splitlines, which also splits at characters that SIP allows in a value, such as a display name.
    head = head.replace("\r\n", "\n").replace("\r", "\n")
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    return head


def read_invite(message: bytes, source_address: str, source_port: int, transport: str) -> Invite:
    """Parse an INVITE. Never raises; a fault of the message is in `malformed`."""
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
        asserted=tuple(filter(None, map(user_part, _addresses(headers.getall("P-Asserted-Identity", ()))))),
    )


def _addresses(values: Iterable[str]) -> Iterator[str]:
    """Split the values of a header of addresses at its commas, except those within quotes or brackets."""
    for value in values:
        yield from _ADDRESS.findall(value)


def read_referral(message: bytes) -> Referral:
    """Parse a REFER. Never raises."""
    headers = read_request(message).headers
    # RFC 3515, 2.4.2: exactly one.
    targets = headers.getall("Refer-To", [])
    return Referral(targets[0] if len(targets) == 1 else "", _extensions(headers))


def read_bye(message: bytes) -> Mapping[str, str]:
    """Return the X- headers of a BYE, the first value of each. The message may be empty. Never raises."""
    return _extensions(read_request(message).headers)


def read_contacts(text: str) -> tuple[str, ...]:
    """Return the URIs in the text of a 3xx (native/outgoing.hpp), best first."""
    return tuple(re.findall(r"^Contact: <(.*)>\r$", text, re.MULTILINE))


def _extensions(headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower().startswith("x-") and name not in found:
            found[name] = value
    return CIMultiDictProxy(found)


def _headers(fields: str) -> CIMultiDictProxy[str]:
    found = [
        (_COMPACT.get(name.lower(), name) if len(name) == 1 else name, value.strip())
        for name, value in _HEADERS.findall(fields)
    ]
    return CIMultiDictProxy(CIMultiDict(found))


def user_part(value: str) -> str:
    """Return the decoded user part of the SIP or tel URI in a Request-URI or header value; empty if there is none.

    A telephone number is returned without its parameters: +1555 for `+1555;npdi` (RFC 3261, 19.1.6; RFC 3966, 5;
    RFC 4694). Any other user part is unchanged: `alice;day=tuesday` is one name (RFC 3261, 19.1.3).
    """
    if '"' in value:
        value = _QUOTED.sub("", value)
    found = _IN_BRACKETS.search(value)
    uri = _URI.match(found[1].strip() if found else value.strip())
    if not uri:
        return ""
    user = _CONTROL.sub("", unquote(SipUri.parse(uri[0]).user))
    number, parameters, _ = user.partition(";")
    return number if parameters and _NUMBER.fullmatch(number) else user


def _fault(method: str, headers: CIMultiDictProxy[str], body_bytes: int) -> str | None:
    # PJSIP uses one of several, perhaps another than we do.
    for name in _SINGLE:
        if len(headers.getall(name, ())) > 1:
            return f"{name} came several times"
    if "CSeq" in headers and headers["CSeq"].split()[1:] != [method]:
        return "CSeq names another method"
    promised = headers.get("Content-Length", "0")
    if not (promised.isascii() and promised.isdigit()):
        return "Content-Length is not a number"
    # PJSIP accepts a truncated datagram as a whole message.
    if body_bytes < int(promised.lstrip("0")[:10] or "0"):
        return "the body is shorter than Content-Length says"
    # PJSIP would replace another call by the new one (RFC 3891), past admission and across projects.
    if "Replaces" in headers:
        return "Replaces is not supported on a trunk"
    return None
