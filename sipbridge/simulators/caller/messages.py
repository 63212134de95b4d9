"""SIP messages as text (RFC 3261, 7)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

Headers = Iterable[tuple[str, str]]
_STATUS = re.compile(r"SIP/2\.0 (\d{3})\b")
_COPIED = re.compile(r"^(?:Via|From|Call-ID|CSeq)\s*:.*$", re.IGNORECASE | re.MULTILINE)  # RFC 3261, 8.2.6.2


@dataclass(frozen=True)
class SipMessage:
    """One SIP message with the line ends of a text, its time, and True in `sent` if we sent it."""

    at: datetime
    sent: bool
    text: str

    @cached_property
    def start_line(self) -> str:
        """The request line or the status line."""
        return self.text.split("\n", 1)[0].strip()

    @cached_property
    def method(self) -> str:
        """The method of a request, or of the request that a response belongs to."""
        return self.start_line.split()[0] if self.status == 0 else self.header("CSeq").split()[-1]

    @cached_property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        found = _STATUS.match(self.start_line)
        return int(found[1]) if found else 0

    @cached_property
    def body(self) -> str:
        """The body, after the headers."""
        return self.text.partition("\n\n")[2]

    @cached_property
    def head(self) -> str:
        """The start line and the headers."""
        return self.text.partition("\n\n")[0]

    def header(self, name: str) -> str:
        """Return the first value of a header, its name in any case; empty if it is missing."""
        found = re.search(rf"^{re.escape(name)}\s*:[ \t]*(.*)$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1].strip() if found else ""

    def route_set(self) -> list[str]:
        """Return the proxies that a caller's requests within the dialog pass through (RFC 3261, 12.1.2)."""
        lines = re.findall(r"^Record-Route\s*:(.*)$", self.head, re.IGNORECASE | re.MULTILINE)
        return [proxy for line in lines for proxy in re.findall(r"<[^>]*>[^,]*", line.strip())][::-1]


def format_message(start_line: str, headers: Headers, body: str = "") -> str:
    """Return a message as it is sent. `body` has the line ends of the wire."""
    lines = [start_line, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body])


def format_response(request: SipMessage, status: str, tag: str, headers: Headers = (), body: str = "") -> str:
    """Return the response to a request, with our tag in To unless it has one."""
    to = request.header("To")
    copied = [tuple(re.split(r"\s*:\s*", line.strip(), maxsplit=1)) for line in _COPIED.findall(request.head)]
    tagged = to if ";tag=" in to else f"{to};tag={tag}"
    return format_message(f"SIP/2.0 {status}", [*((n, v) for n, v in copied), ("To", tagged), *headers], body)
