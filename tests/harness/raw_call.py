"""A call from the trunk, message by message, with headers as they are given: what SIPp would not send."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .stranger import address_of

_SECONDS = 5.0
_STATUS = re.compile(rb"SIP/2\.0 (\d{3})")
_FINAL = 200
_COPIED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
_numbers = itertools.count(1)


class RawCall:
    """One INVITE over UDP and, where it was answered, its dialog until `end` or the bridge's BYE.

    `headers` are lines as they go over the wire, each with its line end; From is among them. `number` is the
    Request-URI's user part, `contact` the host in our Contact, `local` our address. `spoil` is done to the INVITE.
    """

    def __init__(
        self,
        where: str,
        number: bytes,
        headers: bytes,
        contact: bytes = b"127.0.0.1",
        local: str = "127.0.0.1",
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((local, 0))
        self._socket.connect(address_of(where))
        self._socket.settimeout(_SECONDS)
        self._name = b"raw-%d-%d" % (self._socket.getsockname()[1], next(_numbers))
        self._target = b"sip:%s@127.0.0.1" % number
        self._headers = headers
        self._contact = contact
        self._spoil = spoil
        self._to = b"To: <sip:raw@127.0.0.1>\r\n"
        self._sent = 1
        self.answer = b""
        self.status = 0

    def place(self, offer: bytes | None = None, answer: bytes = b"") -> Self:
        """Send the INVITE; returns with the final answer, acknowledged, or with status 0 where none comes.

        `answer` is the SDP of the ACK, which is due if the INVITE has no offer.
        """
        self._send(b"INVITE", 1, _SDP if offer is None else offer, spoil=self._spoil)
        while self.status < _FINAL:
            try:
                self.answer = self._socket.recv(65_535)
            except TimeoutError:
                self.status = 0
                return self
            self.status = int((_STATUS.match(self.answer) or [b"", b"0"])[1])
        to = re.search(rb"^To:[^\r]*\r\n", self.answer, re.MULTILINE)
        contact = re.search(rb"^Contact: <([^>]*)>", self.answer, re.MULTILINE)
        self._to = to[0] if to else self._to
        if contact:
            self._target = contact[1]
        self._send(b"ACK", 1, answer)
        return self

    def press(self, key: bytes) -> None:
        """Send a key by INFO; returns once that is answered."""
        self.inform(b"Signal=%s\r\nDuration=160\r\n" % key, b"Content-Type: application/dtmf-relay\r\n")

    def inform(self, body: bytes, headers: bytes) -> bytes:
        """Send an INFO, with header lines of its own; returns the response."""
        self._sent += 1
        others, self._headers = self._headers, self._headers + headers
        self._send(b"INFO", self._sent, body, kind=b"")
        self._headers = others
        while b" INFO\r\n" not in (response := self._socket.recv(65_535)):
            pass
        return response

    def take_refer(self) -> None:
        """Answer the bridge's REFER with 202, when it comes."""
        while not (request := self._socket.recv(65_535)).startswith(b"REFER "):
            pass
        copied = b"".join(line + b"\r\n" for line in request.split(b"\r\n") if line.startswith(_COPIED))
        self._socket.send(b"SIP/2.0 202 Accepted\r\n" + copied + b"Content-Length: 0\r\n\r\n")

    def take_bye(self) -> None:
        """Return when the bridge's BYE has come."""
        while not self._socket.recv(65_535).startswith(b"BYE "):
            pass

    def notify(self, outcome: bytes) -> None:
        """Say what became of the REFER, for good (RFC 3515, 2.4.5); returns once that is answered."""
        self._sent += 1
        self._headers += b"Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
        self._send(b"NOTIFY", self._sent, outcome, b"message/sipfrag")
        while b" NOTIFY\r\n" not in self._socket.recv(65_535):
            pass

    def answer_bye(self) -> bytes:
        """Answer the bridge's BYE with 200, when it comes; returns it."""
        while not (request := self._socket.recv(65_535)).startswith(b"BYE "):
            pass
        copied = b"".join(line + b"\r\n" for line in request.split(b"\r\n") if line.startswith(_COPIED))
        self._socket.send(b"SIP/2.0 200 OK\r\n" + copied + b"Content-Length: 0\r\n\r\n")
        return request

    def ask(self, method: bytes, spoil: Callable[[bytes], bytes]) -> int:
        """Send a request in the dialog, spoiled; returns the status of its final answer, 0 where none comes."""
        self._sent += 1
        self._send(method, self._sent, spoil=spoil)
        try:
            while b" %s\r\n" % method not in (answer := self._socket.recv(65_535)) or answer.startswith(b"SIP/2.0 1"):
                pass
        except TimeoutError:
            return 0
        return int((_STATUS.match(answer) or [b"", b"0"])[1])

    def end(self) -> None:
        """Send BYE; returns once that is answered."""
        self._sent += 1
        self._send(b"BYE", self._sent)
        while b" BYE\r\n" not in self._socket.recv(65_535):
            pass

    def _send(
        self,
        method: bytes,
        number: int,
        body: bytes = b"",
        kind: bytes = b"application/sdp",
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> None:
        port = self._socket.getsockname()[1]
        # A refusal's ACK belongs to the transaction of its INVITE (RFC 3261, 17.1.1.3).
        own = method == b"INVITE" or (method == b"ACK" and self.status >= 300)
        branch = b"z9hG4bK-%s-%d-%s" % (self._name, number, b"INVITE" if own else method)
        content = b"Content-Type: %s\r\n" % kind if body and kind else b""
        message = (
            b"%s %s SIP/2.0\r\n" % (method, self._target)
            + b"Via: SIP/2.0/UDP 127.0.0.1:%d;branch=%s\r\n" % (port, branch)
            + self._to
            + b"Call-ID: %s\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n" % (self._name, number, method)
            + b"Contact: <sip:raw@%s:%d>\r\n" % (self._contact, port)
            + self._headers
            + b"%sContent-Length: %d\r\n\r\n%s" % (content, len(body), body)
        )
        self._socket.send(spoil(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()


_SDP = b"""v=0\r
o=raw 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 9 RTP/AVP 0 101\r
a=rtpmap:101 telephone-event/8000\r
"""
