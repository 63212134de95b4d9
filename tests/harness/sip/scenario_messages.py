"""The messages of our SIPp scenarios, without SIPp: templates of what a trunk, an agent or a desk sends."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from xml.etree import ElementTree as ET

from tests.harness.programs.sipp import SCENARIOS

_KEYWORD = re.compile(r"\[(\$?[a-zA-Z_][\w-]*)(?:-\d+)?(:?)\]")
_BLANK_LINE = "\n\n"


@dataclass(frozen=True, slots=True)
class Template:
    """A message of a scenario, with SIPp's keywords in it."""

    scenario: str
    text: str

    @property
    def is_response(self) -> bool:
        """True for a response."""
        return self.text.startswith("SIP/2.0")

    @property
    def method(self) -> str:
        """The method of a request, the status of a response."""
        first, second, *_ = self.text.split()
        return second if self.is_response else first

    @property
    def is_in_dialog(self) -> bool:
        """True if it belongs to an established dialog."""
        return "[peer_tag_param]" in self.text or "[$caller]" in self.text

    def fill(self, values: Mapping[str, str], headers: Mapping[str, str] | None = None) -> bytes:
        """Return the complete message.

        `values` fill the keywords, missing ones become empty; `headers` are those of the message that this one responds
        to (`[last_Via:]`), one or more lines each.
        """

        def value(found: re.Match[str]) -> str:
            name, is_header = found[1], bool(found[2])
            if is_header:
                return (headers or {}).get(name.removeprefix("last_"), "")
            return "0" if name == "len" else values.get(name, "")

        head, _, body = self.text.partition(_BLANK_LINE)
        lines = [line for line in (_KEYWORD.sub(value, line) for line in head.split("\n")) if line.strip()]
        content = _KEYWORD.sub(value, body).replace("\n", "\r\n").encode()
        if "[len]" in head:
            lines = [re.sub(r"^(Content-Length|l)\s*:.*", rf"\g<1>: {len(content)}", line) for line in lines]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@cache
def templates() -> tuple[Template, ...]:
    """Return all messages of all scenarios, in the order of their files."""
    return tuple(
        Template(file.stem, text)
        for file in sorted(SCENARIOS.glob("*.xml"))
        for text in map(_message, ET.parse(file).iter("send"))  # noqa: S314 (our own files)
    )


def _message(send: ET.Element) -> str:
    text = textwrap.dedent((send.text or "").strip("\n").rstrip())
    head, blank, body = text.strip("\n").partition(_BLANK_LINE)
    return head + (f"{blank}{body.rstrip()}\n" if body.strip() else _BLANK_LINE)
