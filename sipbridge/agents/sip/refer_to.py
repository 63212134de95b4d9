"""The Refer-To of a REFER: an address, and headers for the referred request (RFC 3515, 2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from multidict import CIMultiDict

from sipbridge.config import is_header_name
from sipbridge.telephony.sip_uri import SipUri

# RFC 3261, 25.1: name-addr, or a bare addr-spec.
_IN_BRACKETS = re.compile(r'(?:"(?:[^"\\]|\\.)*"\s*|[^<>"]*)<([^<>"\s]+)>\s*(?:;[^<>]*)?')
_BARE = re.compile(r'[^<>"\s]+')
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class ReferTo:
    """The parts of a Refer-To. `user` and `headers` are decoded.

    `uri` is unchanged, without its headers. `user` is the number of a tel URI, and empty if the URI has none.
    """

    uri: str
    user: str
    headers: CIMultiDict[str]


def read_refer_to(value: str) -> ReferTo:
    """Read a value with or without brackets. Raises `ValueError` with a message that quotes nothing of it."""
    value = value.strip()
    if found := _IN_BRACKETS.fullmatch(value):
        uri, _, headers = found.group(1).partition("?")
    elif _BARE.fullmatch(value):
        uri, _, headers = value.partition("?")
        # Without brackets, parameters after a semicolon belong to the header, not to the URI (RFC 3261, 20.10).
        semicolon = uri.find(";", uri.rfind("@") + 1)
        uri = uri if semicolon < 0 else uri[:semicolon]
        headers = headers.partition(";")[0]
    else:
        raise ValueError("Refer-To is not one URI; write <sip:USER@HOST>")
    if not _URI.fullmatch(uri):
        raise ValueError("Refer-To holds no URI; write <sip:USER@HOST>")
    return ReferTo(uri, _user(uri), _headers(headers))


def _user(uri: str) -> str:
    # Parameters of the user part are removed before the rest is decoded.
    return _decoded(SipUri.parse(uri).user.partition(";")[0])


def _headers(text: str) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        name = _decoded(name)
        if not is_header_name(name):
            raise ValueError("Refer-To has a header in its URI without a valid name")
        headers.setdefault(name, _decoded(value))
    return headers


def _decoded(text: str) -> str:
    if _NO_ESCAPE.search(text):
        raise ValueError("Refer-To has a percent sign without two hex digits; write it as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError("Refer-To has escapes that are not UTF-8") from None
