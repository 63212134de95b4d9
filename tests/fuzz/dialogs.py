"""A hostile peer's dialogs, the messages that it receives, and the templates that fit into a dialog."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.harness.sip.scenario_messages import Template, templates

_COPIED = ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route")
_HEADER = re.compile(rb"^([A-Za-z-]+)[ \t]*:[ \t]*(.*?)\r?$", re.MULTILINE)


@dataclass
class HostileDialog:
    """A dialog with the bridge, and the values that make a scenario's message part of it."""

    values: dict[str, str]
    over_tcp: bool
    called: bool  # by the bridge
    parties: dict[str, str] = field(default_factory=dict)
    requests: Iterator[int] = field(default_factory=lambda: itertools.count(2))


@dataclass(frozen=True, slots=True)
class Received:
    """The parts of a message from the bridge that matter here."""

    start: str
    headers: dict[str, str]
    over_tcp: bool

    @classmethod
    def read(cls, message: bytes, *, over_tcp: bool) -> Received:
        head = message.partition(b"\r\n\r\n")[0]
        headers: dict[str, str] = {}
        for name, value in _HEADER.findall(head):
            key, text = name.decode(), value.decode("utf-8", "replace")
            headers[key] = f"{headers[key]}\r\n{key}: {text}" if key in headers else text
        return cls(head.partition(b"\r\n")[0].decode("utf-8", "replace"), headers, over_tcp)

    @property
    def status(self) -> int:
        words = self.start.split()
        return int(words[1]) if self.start.startswith("SIP/2.0 ") and len(words) > 1 and words[1].isdigit() else 0

    @property
    def method(self) -> str:
        return (self.headers.get("CSeq", "").split() or [""])[-1]

    def copied(self) -> dict[str, str]:
        """The header lines that a response copies."""
        return {f"{name}": f"{name}: {self.headers[name]}" for name in _COPIED if name in self.headers}


def requests_of_method(*, method: str, in_dialog: bool) -> tuple[Template, ...]:
    return tuple(
        each
        for each in templates()
        if not each.is_response and each.method == method and each.is_in_dialog == in_dialog
    )


def requests_in_dialog(*, called: bool) -> tuple[Template, ...]:
    """Return the requests in dialogs that the bridge has set up (`called`), or that were set up with it."""
    requests = (each for each in templates() if not each.is_response and each.is_in_dialog)
    return tuple(each for each in requests if ("[$caller]" in each.text) == called)


def replace_headers(message: bytes, headers: dict[str, str]) -> bytes:
    """Return the message with these headers replacing its own."""
    for name, value in headers.items():
        head, found, rest = message.partition(f"\r\n{name}: ".encode())
        if found:
            message = head + found + value.encode("utf-8", "replace") + b"\r\n" + rest.partition(b"\r\n")[2]
    return message
