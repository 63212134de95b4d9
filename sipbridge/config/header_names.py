"""The names of header fields: one rule for those that are read, passed on and written."""

from __future__ import annotations

import re

# RFC 3261, 25.1: the characters of a token.
NAME_CHARACTER = r"[A-Za-z0-9.!%*_+`'~-]"
# RFC 9110, 5.6.2: the same for HTTP.
_HTTP_NAME_CHARACTER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]"

_NAME = re.compile(f"{NAME_CHARACTER}+")
_HTTP_NAME = re.compile(f"{_HTTP_NAME_CHARACTER}+")


def is_header_name(name: str) -> bool:
    """True if SIP lets a header have this name."""
    return _NAME.fullmatch(name) is not None


def is_x_header(name: str) -> bool:
    """True if it is the name of an X- header."""
    return name[:2] in ("X-", "x-") and len(name) > 2 and is_header_name(name)  # noqa: PLR2004 (the prefix)


def is_http_header_name(name: str) -> bool:
    """True if HTTP lets a header have this name."""
    return _HTTP_NAME.fullmatch(name) is not None
