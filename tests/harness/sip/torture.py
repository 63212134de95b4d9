"""The torture messages of RFC 4475, as bytes, with the expected response to each (torture.txt)."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("torture.txt")
_HEADING = re.compile(r"^=== (\S+) (\w+) ([\d,-]+)(?:/([\d,-]+))?: (.*)$", re.MULTILINE)
_ONE_LINE = re.compile(r"<allOneLine>\n(.*?)\n</allOneLine>", re.DOTALL)
_REPEAT = re.compile(r"<repeat count=(\d+)>(.*?)</repeat>")
_HEX = re.compile(rb"<hex>([0-9A-F\s]*)</hex>")


_IDS = re.compile(rb"(branch\s*=\s*z9hG4bK[^\s;,]+|^(?:Call-ID|i)\s*:\s*[^\r]+)", re.IGNORECASE | re.MULTILINE)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TortureMessage:
    """One message: its section, its name there, its bytes, and the expected statuses over UDP and over TCP."""

    section: str
    name: str
    message: bytes
    udp: tuple[int, ...]
    tcp: tuple[int, ...]

    def with_new_ids(self) -> bytes:
        """The message with branches and a Call-ID of its own: otherwise many would be retransmissions of another."""
        return _IDS.sub(rb"\g<1>.%d" % next(_numbers), self.message)


def torture_messages() -> list[TortureMessage]:
    """Return all messages, in the RFC's order."""
    text = _FILE.read_text(encoding="ascii")
    headings = list(_HEADING.finditer(text))
    ends = [each.start() for each in headings[1:]] + [len(text)]
    return [
        TortureMessage(
            heading[1],
            heading[2],
            _bytes(text[heading.end() + 1 : end]),
            _statuses(heading[3]),
            _statuses(heading[4] or heading[3]),
        )
        for heading, end in zip(headings, ends, strict=True)
    ]


def _bytes(text: str) -> bytes:
    """Convert the RFC's notation to bytes. The blank line before the next heading is not part of it."""
    text = _ONE_LINE.sub(lambda found: found[1].replace("\n", ""), text)
    text = _REPEAT.sub(lambda found: found[2] * int(found[1]), text)
    head, blank, body = text.partition("\n\n")
    if blank and body:
        # After a body there is only the blank line of this file; without a body that line is the message's own.
        text = head + blank + body.removesuffix("\n")
    message = text.replace("\n", "\r\n").encode("ascii")
    return _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), message)


def _statuses(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each != "-")
