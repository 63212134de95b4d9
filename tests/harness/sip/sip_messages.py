"""A parser for SIPp's message log (`-trace_msg`)."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from sipbridge.simulators.caller.messages import SipMessage as Message

__all__ = ["Message", "read_messages"]

_ENTRY = re.compile(
    r"^-{20,} (\d{4}-\d\d-\d\d[\t ]\d\d:\d\d:\d\d\.\d+).*\n(?:UDP|TCP) message (sent|received)[^\n]*\n\n", re.MULTILINE
)


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
