"""The names of header fields: one rule for those that are read, passed to agents and written."""

from __future__ import annotations

import re

# RFC 3261, 25.1: the characters of a token.
NAME_CHARACTER = r"[A-Za-z0-9.!%*_+`'~-]"
# RFC 9110, 5.6.2: the same for HTTP.
_HTTP_NAME_CHARACTER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]"

_NAME = re.compile(f"{NAME_CHARACTER}+")
_HTTP_NAME = re.compile(f"{_HTTP_NAME_CHARACTER}+")

# Headers besides X- headers that a project may pass to its agent (RFC 7433, RFC 5806, RFC 7044, RFC 3325), by name in
# lower case. Commas separate several values of each (RFC 3261, 7.3.1).
STANDARD_HEADERS = {name.lower(): name for name in ("User-to-User", "Diversion", "History-Info", "P-Asserted-Identity")}

# The SIP stack writes these or acts on them. A second one of ours would break the message (RFC 3261, 20).
STACK_HEADERS = frozenset(
    {
        "accept",
        "allow",
        "c",
        "call-id",
        "contact",
        "content-encoding",
        "content-length",
        "content-type",
        "cseq",
        "e",
        "event",
        "expires",
        "f",
        "from",
        "i",
        "k",
        "l",
        "m",
        "max-forwards",
        "min-se",
        "o",
        "path",
        "proxy-authorization",
        "proxy-require",
        "r",
        "record-route",
        "refer-to",
        "require",
        "route",
        "session-expires",
        "supported",
        "t",
        "to",
        "v",
        "via",
        "www-authenticate",
        "x",
    }
)

# The WebSocket handshake writes these (RFC 6455, 4.1), or they frame a body, which it does not have.
UPGRADE_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)


def is_header_name(name: str) -> bool:
    """True if this is a valid name of a SIP header."""
    return _NAME.fullmatch(name) is not None


def is_x_header(name: str) -> bool:
    """True if this is the name of an X- header."""
    return name[:2] in ("X-", "x-") and len(name) > 2 and is_header_name(name)  # noqa: PLR2004 (the prefix)


def is_standard_header(name: str) -> bool:
    """True if this is the name of one of `STANDARD_HEADERS`, in any case."""
    return name.lower() in STANDARD_HEADERS


def is_passable_header(name: str) -> bool:
    """True if a header with this name may be passed to an agent."""
    return is_x_header(name) or is_standard_header(name)


def is_http_header_name(name: str) -> bool:
    """True if this is a valid name of an HTTP header."""
    return _HTTP_NAME.fullmatch(name) is not None
