"""A parser for SIPp's message log (`-trace_msg`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

_ENTRY = re.compile(
    r"^-{20,} (\d{4}-\d\d-\d\d[\t ]\d\d:\d\d:\d\d\.\d+).*\n(?:UDP|TCP) message (sent|received)[^\n]*\n\n", re.MULTILINE
)


@dataclass(frozen=True)
class Message:
    """One SIP message, its time (local) and True in `sent` if SIPp sent it."""

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
        return int(self.start_line.split()[1]) if self.start_line.startswith("SIP/2.0 ") else 0

    @cached_property
    def body(self) -> str:
        """The body, after the headers."""
        return self.text.partition("\n\n")[2]

    def header(self, name: str) -> str:
        """Return the first value of a header, its name in any case; empty if it is missing."""
        head = self.text.partition("\n\n")[0]
        found = re.search(rf"^{re.escape(name)}\s*:[ \t]*(.*)$", head, re.IGNORECASE | re.MULTILINE)
        return found[1].strip() if found else ""


def read_messages(log: Path) -> list[Message]:
    """Return the messages of a log, oldest first; none if SIPp wrote no log."""
    if not log.exists():
        return []
    text = log.read_text(errors="replace").replace("\r\n", "\n")
    starts = list(_ENTRY.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)][: len(starts)]
    return [
        Message(
            datetime.fromisoformat(start[1].replace("\t", " ")),
            start[2] == "sent",
            text[start.end() : end].rstrip("\n") + "\n\n",
        )
        for start, end in zip(starts, ends, strict=True)
    ]
