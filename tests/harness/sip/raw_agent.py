"""A SIP agent or desk over UDP, message by message, that challenges, redirects, rejects or stays silent."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from tests.harness.waiting import wait_for

from .sip_messages import Message

# A status and header lines, or None for silence.
Response = tuple[int, list[str]] | None
_SDP = "v=0\r\no=raw 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
_COPIED = ("Via", "From", "Call-ID", "CSeq")
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class RawAgent:
    """Responds to every request with `respond`, to an INVITE's 200 with an SDP; its Contact has `contact`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()
        self.respond: Callable[[Message], Response] = lambda _: (200, [])
        self.contact = self.address
        self._requests: list[Message] = []
        self._retransmitted: list[str] = []
        self._source = ("", 0)
        self._seen: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._serve, name="agent", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its host and port, as in a SIP URI."""
        return f"{self.host}:{self.port}"

    def received(self, method: str) -> list[Message]:
        """The requests of that method so far, without retransmissions."""
        return [message for message in list(self._requests) if message.method == method]

    def wait_for(self, method: str, count: int = 1) -> list[Message]:
        """Return its requests of that method once there are this many."""
        wait_for(lambda: len(self.received(method)) >= count, f"{count} {method} at the agent")
        return self.received(method)

    def reset(self) -> None:
        """Forget the requests so far, answer every call, and use the address as Contact."""
        self.contact = self.address
        self.respond = lambda _: (200, [])
        self._requests.clear()
        self._retransmitted.clear()

    def answer(self, invite: Message) -> None:
        """Send 200 to an INVITE that had no final response."""
        self._socket.sendto(self._response(invite, 200, []), self._source)

    def retransmissions(self, method: str) -> int:
        """Return the number of retransmitted requests of that method."""
        return self._retransmitted.count(method)

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(65_535)
            if data == b"stop":
                return
            if not data.strip():
                continue
            text = data.decode().replace("\r\n", "\n")
            message = Message(datetime.now().astimezone(), sent=False, text=text)
            if message.status:
                continue
            sent = (message.method, message.header("Via"))
            if sent not in self._seen:
                self._seen.add(sent)
                self._requests.append(message)
            else:
                self._retransmitted.append(message.method)
            self._source = source
            response = None if message.method == "ACK" else self.respond(message)
            if response is not None:
                self._socket.sendto(self._response(message, *response), source)

    def _response(self, request: Message, status: int, headers: list[str]) -> bytes:
        tag = "" if ";tag=" in request.header("To") else ";tag=raw"
        lines = [f"SIP/2.0 {status} So", *(f"{name}: {request.header(name)}" for name in _COPIED)]
        lines += [f"To: {request.header('To')}{tag}", *headers]
        body = ""
        if request.method == "INVITE" and status == 200:
            lines += [f"Contact: <sip:raw@{self.contact}>", "Content-Type: application/sdp"]
            body = _SDP.format(host=self.host, port=self.port + 1)
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.sendto(b"stop", (self.host, self.port))
        self._thread.join()
        self._socket.close()


class DigestAuthenticator:
    """Digest authentication (RFC 7616) with `status` 401 or 407; each nonce is valid for `uses` requests."""

    def __init__(
        self, user: str, password: str, *, status: int = 401, uses: int = 100, algorithms: str = "MD5"
    ) -> None:
        self.user, self.password, self.status, self.uses = user, password, status, uses
        self.algorithms = algorithms.split()
        self.realm = "desks of example.com"
        self.refused = 0
        self._nonces: dict[str, int] = {}

    def __call__(self, request: Message) -> Response:
        """Respond to a request."""
        if request.method in ("ACK", "CANCEL"):
            return 200, []
        name = "Proxy-Authorization" if self.status == 407 else "Authorization"
        header = request.header(name)
        fields = {
            key.lower(): quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', header)
        }
        if header and not self._is_authentic(request.method, fields):
            self.refused += 1
        elif header and self._use_nonce(fields["nonce"]):
            return 200, []
        return self.status, self._challenge(stale=bool(header) and self._is_authentic(request.method, fields))

    def _use_nonce(self, nonce: str) -> bool:
        self._nonces[nonce] -= 1
        return self._nonces[nonce] >= 0

    def _challenge(self, *, stale: bool) -> list[str]:
        nonce = f"nonce{len(self._nonces)}"
        self._nonces[nonce] = self.uses
        name = "Proxy-Authenticate" if self.status == 407 else "WWW-Authenticate"
        old = ", stale=true" if stale else ""
        return [
            f'{name}: Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{old}'
            for algorithm in self.algorithms
        ]

    def _is_authentic(self, method: str, fields: dict[str, str]) -> bool:
        if fields.get("nonce") not in self._nonces or fields.get("username") != self.user:
            return False
        # The first algorithm is the preferred one (RFC 8760, 2.4).
        if fields.get("algorithm", "MD5") != self.algorithms[0]:
            return False
        hashed = _HASHES[self.algorithms[0]]

        def digest(*parts: str) -> str:
            return hashlib.new(hashed, ":".join(parts).encode()).hexdigest()

        first = digest(self.user, fields["realm"], self.password)
        second = digest(method, fields["uri"])
        expected = digest(first, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], second)
        return fields["response"] == expected
