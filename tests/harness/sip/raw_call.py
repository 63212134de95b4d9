"""A call from the trunk, message by message, with any header: messages that SIPp would not send."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .raw_sender import address_of

_SECONDS = 5.0
_STATUS = re.compile(rb"SIP/2\.0 (\d{3})")
_FINAL = 200
_REJECTED = 300
_COPIED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
_numbers = itertools.count(1)

OFFER = b"""v=0\r
o=raw 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 9 RTP/AVP 0 101\r
a=rtpmap:101 telephone-event/8000\r
"""


class RawCall:
    """One INVITE over UDP and, if it is answered, its dialog until `end` or the bridge's BYE.

    `headers` are complete lines, each with its line end; From is among them. `number` is the user part of the Request-
    URI, `contact` the host in our Contact, `local` our address. `alter` changes the INVITE. `received` has all received
    messages, `bridge_invite` the bridge's INVITE.
    """

    def __init__(
        self,
        address: str,
        number: bytes = b"raw",
        headers: bytes = b"",
        contact: bytes = b"127.0.0.1",
        local: str = "127.0.0.1",
        alter: Callable[[bytes], bytes] = bytes,
        to: bytes = b"To: <sip:raw@127.0.0.1>\r\n",
        port: int = 0,
    ) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((local, port))
        self._socket.connect(address_of(address))
        self._socket.settimeout(_SECONDS)
        self._name = b"raw-%d-%d" % (self._socket.getsockname()[1], next(_numbers))
        self._target = b"sip:%s@127.0.0.1" % number
        self._headers = headers
        self._contact = contact
        self._alter = alter
        self._to = to
        self._initial = self._target, self._to
        self._sent = 1
        self._requests: list[bytes] = []
        self.received: list[bytes] = []
        self.answer = b""
        self.bridge_invite = b""
        self.status = 0

    def place(self, offer: bytes | None = None, answer: bytes = b"") -> Self:
        """Send the INVITE; return once its final response is acknowledged, or with status 0 if there is none.

        `answer` is the SDP of the ACK, which is required if the INVITE has no offer.
        """
        self.invite(offer)
        if self.wait_for_answer():
            self.acknowledge(answer)
        return self

    def invite(self, offer: bytes | None = None) -> None:
        """Send the INVITE only."""
        self._placed = self._alter(self._format(b"INVITE", 1, OFFER if offer is None else offer))
        self.invite_again()

    def invite_again(self) -> None:
        """Send a copy of the INVITE."""
        self._socket.send(self._placed)

    def wait_for_answer(self) -> int:
        """Return the next final response's status, 0 if there is none; it is not acknowledged."""
        self.status = 0
        while self.status < _FINAL:
            try:
                self.answer = self._receive()
            except TimeoutError:
                self.status = 0
                return 0
            self.status = int((_STATUS.match(self.answer) or [b"", b"0"])[1])
        to = re.search(rb"^To:[^\r]*\r\n", self.answer, re.MULTILINE)
        contact = re.search(rb"^Contact: <([^>]*)>", self.answer, re.MULTILINE)
        self._to = to[0] if to else self._to
        if contact:
            self._target = contact[1]
        if self.status < _REJECTED:
            # RFC 3261, 12.1.2: what follows takes the way back through the proxies.
            passed = re.findall(rb"^Record-Route: *(.*\r\n)", self.answer, re.MULTILINE)
            self._headers += b"".join(b"Route: " + each for each in reversed(passed))
        return self.status

    def cancel(self, headers: bytes = b"") -> int:
        """Send CANCEL of the INVITE, with further header lines; return the status of its response."""
        now = self._target, self._to
        self._target, self._to = self._initial
        self._socket.send(self._format(b"CANCEL", 1, headers=headers))
        self._target, self._to = now
        while b"CSeq: 1 CANCEL\r\n" not in (message := self._receive()):
            pass
        return int(message.split()[1])

    def acknowledge(self, answer: bytes = b"") -> None:
        """Send the ACK."""
        self._socket.send(self._format(b"ACK", 1, answer, within=self.status >= _REJECTED))

    def forged_request(self, method: bytes, number: int) -> bytes:
        """Return a request of this dialog with that CSeq number, for another sender."""
        return self._format(method, number)

    def accept_invite(self, headers: bytes = b"", answer: bytes = OFFER) -> Self:
        """Answer the bridge's INVITE instead, with these header lines and SDP; return after its ACK."""
        invite = self.bridge_invite = self.next_request(b"INVITE")
        lines = dict(re.findall(rb"^(From|To|Call-ID|Contact): *(.*\r\n)", invite, re.MULTILINE))
        tagged = lines[b"To"].rstrip() + b";tag=raw\r\n"
        self._name = lines[b"Call-ID"].strip()
        self._target = lines[b"Contact"].split(b"<")[1].split(b">")[0]
        self._to, self._headers = b"To: " + lines[b"From"], b"From: " + tagged
        self.respond(invite.replace(b"To: " + lines[b"To"], b"To: " + tagged), b"200 OK", headers, answer)
        self.next_request(b"ACK")
        return self

    def set_timeout(self, seconds: float) -> None:
        """Wait this long for each message from now on."""
        self._socket.settimeout(seconds)

    def send_digit(self, digit: bytes) -> None:
        """Send a DTMF digit by INFO; return after its response."""
        self.send_info(b"Signal=%s\r\nDuration=160\r\n" % digit, b"Content-Type: application/dtmf-relay\r\n")

    def send_info(self, body: bytes, headers: bytes) -> bytes:
        """Send an INFO, with header lines of its own; return the response."""
        return self.request(b"INFO", body, b"", headers)

    def accept_refer(self, answer: bytes = b"202 Accepted", headers: bytes = b"") -> bytes:
        """Wait for the bridge's REFER and respond to it; return the REFER."""
        refer = self.next_request(b"REFER")
        self.respond(refer, answer, headers)
        return refer

    def notify(
        self,
        outcome: bytes,
        kind: bytes = b"message/sipfrag",
        state: bytes = b"terminated;reason=noresource",
        event: bytes = b"refer",
    ) -> bytes:
        """Report the outcome of the REFER, by default as final (RFC 3515, 2.4.5); return the response."""
        return self.request(b"NOTIFY", outcome, kind, b"Event: %s\r\nSubscription-State: %s\r\n" % (event, state))

    def answer_bye(self) -> bytes:
        """Wait for the bridge's BYE and respond with 200; return the BYE."""
        request = self.next_request(b"BYE")
        self.respond(request, b"200 OK")
        return request

    def altered_request_status(self, method: bytes, alter: Callable[[bytes], bytes]) -> int:
        """Send an altered request in the dialog; return the status of its final response, 0 if there is none."""
        try:
            return int(self.request(method, alter=alter).split()[1])
        except TimeoutError:
            return 0

    def end(self) -> None:
        """Send BYE; return after its response."""
        self.request(b"BYE")

    def request(
        self,
        method: bytes,
        body: bytes = b"",
        kind: bytes = b"application/sdp",
        headers: bytes = b"",
        alter: Callable[[bytes], bytes] = bytes,
    ) -> bytes:
        """Send a request in the dialog; return its final response, acknowledged if it is one to INVITE."""
        self._sent += 1
        self._socket.send(alter(self._format(method, self._sent, body, kind, headers)))
        cseq = b"CSeq: %d %s\r\n" % (self._sent, method)
        while True:
            message = self._receive()
            if message.startswith(b"SIP/2.0 "):
                status = int(message.split()[1])
                if cseq in message and status >= _FINAL:
                    break
            else:
                self._requests.append(message)
        if method == b"INVITE":
            self._socket.send(self._format(b"ACK", self._sent, within=status >= _REJECTED))
        return message

    def request_at_once(self, *methods: bytes) -> dict[bytes, int]:
        """Send requests in the dialog without waiting for responses in between; return the final status of each."""
        numbers = {method: self._sent + place for place, method in enumerate(methods, 1)}
        self._sent += len(methods)
        for method, number in numbers.items():
            self._socket.send(self._format(method, number))
        statuses: dict[bytes, int] = {}
        while len(statuses) < len(methods):
            message = self._receive()
            answered = [
                method for method, number in numbers.items() if b"CSeq: %d %s\r\n" % (number, method) in message
            ]
            if answered and message.startswith(b"SIP/2.0 ") and int(message.split()[1]) >= _FINAL:
                statuses[answered[0]] = int(message.split()[1])
        return statuses

    def next_request(self, *methods: bytes) -> bytes:
        """Return the bridge's next request of those methods; earlier ones are dropped."""
        while True:
            message = self._requests.pop(0) if self._requests else self._receive()
            if message.split()[0] in methods:
                return message

    def respond(self, request: bytes, status: bytes, headers: bytes = b"", body: bytes = b"") -> None:
        """Respond to a request of the bridge, with a status and its reason."""
        copied = b"".join(line + b"\r\n" for line in request.split(b"\r\n") if line.startswith(_COPIED))
        contact = b"Contact: <sip:raw@127.0.0.1:%d>\r\n" % self._port
        content = b"Content-Type: application/sdp\r\n" if body else b""
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self._socket.send(b"SIP/2.0 " + status + b"\r\n" + copied + contact + headers + content + length + body)

    @property
    def _port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def _receive(self) -> bytes:
        self.received.append(self._socket.recv(65_535))
        return self.received[-1]

    def _format(
        self,
        method: bytes,
        number: int,
        body: bytes = b"",
        kind: bytes = b"application/sdp",
        headers: bytes = b"",
        *,
        within: bool = False,
    ) -> bytes:
        """Return a request. The ACK of a rejection goes `within` the transaction of its INVITE (RFC 3261, 17.1.1.3)."""
        # CANCEL has the branch of its INVITE, too (RFC 3261, 9.1).
        of = b"INVITE" if within or method == b"CANCEL" else method
        branch = b"z9hG4bK-%s-%d-%s" % (self._name, number, of)
        content = b"Content-Type: %s\r\n" % kind if body and kind else b""
        return (
            b"%s %s SIP/2.0\r\n" % (method, self._target)
            + b"Via: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=%s\r\n" % (self._port, branch)
            + self._to
            + b"Call-ID: %s\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n" % (self._name, number, method)
            + b"Contact: <sip:raw@%s:%d>\r\n" % (self._contact, self._port)
            + self._headers
            + headers
            + b"%sContent-Length: %d\r\n\r\n%s" % (content, len(body), body)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
