"""A parser for SIPp's message log (`-trace_msg`)."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from sipbridge.simulators.caller.messages import SipMessage as Message

__all__ = ["GrowingLog", "Message", "read_messages"]

_ENTRY = re.compile(
    r"^-{20,} (\d{4}-\d\d-\d\d[\t ]\d\d:\d\d:\d\d\.\d+).*\n(?:UDP|TCP) message (sent|received)[^\n]*\n\n", re.MULTILINE
)


def read_messages(log: Path) -> list[Message]:
    """Return the messages of a log, oldest first; none if SIPp wrote no log."""
    return _parse(log.read_text(errors="replace")) if log.exists() else []


class GrowingLog:
    """The log of a SIPp that runs, for a reader that comes again and again."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self._rest = ""

    def more(self) -> list[Message]:
        """Return the messages that were not returned before. The last one may be incomplete until nothing is added."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        self._offset += len(added)
        text = (self._rest + added.decode(errors="replace")).replace("\r\n", "\n")
        last = max((start.start() for start in _ENTRY.finditer(text)), default=0) if added else len(text)
        self._rest = text[last:]
        return _parse(text[:last])


def _parse(log: str) -> list[Message]:
    text = log.replace("\r\n", "\n")
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
