"""The callers and nodes of `make demo-cluster`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sipbridge.trial_call.timeline import TRUNK, Step
from tests.harness.programs.bridge import Bridge, Project
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.sip.sip_messages import Message
from tests.harness.waiting import wait_for

from .demo import KEY, NUMBER, TOKEN

LONGEST_CALL_SECONDS = 120


@dataclass(frozen=True)
class Node:
    """One node."""

    name: str
    bridge: Bridge

    @property
    def uri(self) -> str:
        """Its SIP URI, as in the proxy's list."""
        return f"sip:{self.bridge.sip}"

    @property
    def project(self) -> Project:
        """The HTTP API of the project that is called."""
        return self.bridge.project("demo", "billing", KEY)


class Caller:
    """One call to the proxy, by SIPp. It lasts until it gets BYE."""

    def __init__(self, number: int, folder: Path, proxy: str, nodes: Sequence[Node]) -> None:
        self.name = f"caller {number}"
        self.contact = f"11550012345{number}"
        self._nodes = nodes
        keys = {"token": TOKEN, "contact_id": self.contact, "main_contact_id": "115500123450"}
        options = [*call_options(), "-recv_timeout", str(LONGEST_CALL_SECONDS * 1000)]
        self.sipp = Sipp("release", folder, remote=proxy, number=NUMBER, keys=keys, options=options)

    def wait_until_answered(self) -> float:
        """Return the seconds from the INVITE to its answer. Raises `TimeoutError`."""
        answer = wait_for(self._answer, f"an answer for {self.name}", 30)
        return (answer.at - self.sipp.messages[0].at).total_seconds()

    @property
    def node(self) -> Node:
        """The node that answered."""
        contact = self._answered.header("Contact")
        return next(node for node in self._nodes if node.bridge.sip in contact)

    @property
    def call_id(self) -> str:
        """The bridge's id of the call."""
        return self._answered.header("X-Sipbridge-Call-Id")

    def steps(self) -> Iterator[Step]:
        """The messages that say how the call goes on."""
        messages = self.sipp.messages
        for message in messages:
            if message.method == "INVITE" and message.sent:
                text = f"→ INVITE of {self.name}, contact {self.contact}"
                yield Step(message.at.astimezone(), "INVITE", TRUNK, text)
                break
        if answer := self._answer():
            after = (answer.at - messages[0].at).total_seconds()
            yield Step(answer.at.astimezone(), "answered", self.node.name, f"answers {self.name} after {after:.3f} s")
        for message in messages:
            if message.method == "BYE" and not message.sent:
                yield Step(message.at.astimezone(), "BYE", TRUNK, f"← BYE for {self.name}")
                break

    @property
    def _answered(self) -> Message:
        answer = self._answer()
        if answer is None:
            raise ValueError(f"{self.name} was not answered")
        return answer

    def _answer(self) -> Message | None:
        return next((each for each in self.sipp.received(200) if each.method == "INVITE"), None)
