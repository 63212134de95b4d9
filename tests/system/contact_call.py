"""A call, message by message, that a project accepts, and its record."""

from __future__ import annotations

from typing import Any

from tests.harness.settings import key, token
from tests.harness.sip.raw_call import RawCall

from .site import NUMBERS, Contact, Site

CALLER = b"From: <sip:caller@127.0.0.1>;tag=caller\r\n"


class ContactCall(RawCall):
    """A call with a contact id of its own, to a project of the client `acme`."""

    def __init__(self, trunk: Site, project: str, caller: bytes = CALLER, *lines: bytes) -> None:
        self.contact = Contact.new()
        self._trunk = trunk
        self._project = project
        headers = {
            "X-Auth-Token": token(project),
            "X-InContact-ContactId": self.contact.id,
            "X-InContact-MasterId": self.contact.main_id,
        }
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        super().__init__(trunk.bridge.sip, NUMBERS["acme"].encode(), caller + own + b"".join(lines))

    def record(self) -> dict[str, Any]:
        """Return the record once the call has ended."""
        project = self._trunk.bridge.project("acme", self._project, key(self._project))
        record: dict[str, Any] = project.ended_call(self.contact.id)
        return record
