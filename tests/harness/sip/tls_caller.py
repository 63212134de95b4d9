"""A caller over TLS or TCP: the SIP of one connection, implemented here because Debian's SIPp has no TLS."""

from __future__ import annotations

import itertools
import os
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from tests.harness.media import rtp

from .sip_messages import Message

_READ_BYTES = 65_536
_FIRST_FINAL = 200
_branches = itertools.count(1)


def offer(port: int, profile: str = "RTP/AVP", crypto: tuple[str, ...] = (), direction: str = "sendrecv") -> str:
    """An offer of G.711 mu-law and DTMF events (RFC 4733) at a loopback port."""
    lines = [
        "v=0",
        f"o=- 1 {next(_branches)} IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio {port} {profile} 0 {rtp.PAYLOAD_TYPE}",
        f"a=rtpmap:{rtp.PAYLOAD_TYPE} telephone-event/8000",
        *(f"a=crypto:{value}" for value in crypto),
        f"a={direction}",
    ]
    return "\r\n".join([*lines, ""])


class SipConnection:
    """Messages over one connection, opened by us or by the bridge."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self._unread = b""

    def respond(self, request: Message, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        """Send 200."""
        copied = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*$", request.head, re.MULTILINE)
        lines = [*copied, *(f"{name}: {value}" for name, value in (headers or {}).items())]
        head = "".join(f"{line}\r\n" for line in lines)
        self._send(f"SIP/2.0 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}")

    def answer(self, method: str) -> Message:
        """Wait for a request of that method and send 200 to it and to any before it; return it."""
        while True:
            request = self.receive()
            if request.status:
                continue
            self.respond(request)
            if request.method == method:
                return request

    def receive(self) -> Message:
        """Return the next message. Raises `ConnectionError` if the far end closes."""
        while True:
            head, found, rest = self._unread.partition(b"\r\n\r\n")
            message = Message(datetime.now(), sent=False, text=_text(head, b""))  # noqa: DTZ005 (like SIPp's log)
            length = int(message.header("Content-Length") or 0) if found else 0
            if found and len(rest) >= length:
                self._unread = rest[length:]
                return Message(message.at, sent=False, text=_text(head, rest[:length]))
            if not (data := self._connected.recv(_READ_BYTES)):
                raise ConnectionError("the far end has closed the connection")
            self._unread += data

    def _send(self, text: str) -> None:
        self._connected.sendall(text.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connected.close()


class StreamCaller(SipConnection):
    """One connection and at most one dialog on it. `contact` is the host and port in its Contact."""

    transport = "TCP"

    def __init__(self, address: str, connected: socket.socket, contact: str | None = None) -> None:
        super().__init__(connected)
        self.socket = connected
        self.call_id = os.urandom(8).hex()
        self._contact = contact or f"sip:caller@127.0.0.1:9;transport={self.transport.lower()}"
        self._target = f"sip:{address};transport={self.transport.lower()}"
        self._to = ""
        self._routes: list[str] = []
        self._cseq = 0

    def reconnect(self, connected: socket.socket) -> None:
        """Continue the dialog over another connection."""
        self.socket.close()
        self.socket = self._connected = connected
        self._unread = b""

    def options(self) -> int:
        """Send OPTIONS; return the status of the response."""
        self._cseq += 1
        self._send(self.request("OPTIONS", self._target, self._cseq))
        return self.receive().status

    def invite(self, number: str, headers: Mapping[str, str], sdp: str, *, late: str = "") -> Message:
        """Call; return the final response, acknowledged: with `late`, with the answer to an offer of the bridge."""
        self._to = f"<sip:{number}@bridge.test>"
        return self._invite(self._target.replace("sip:", f"sip:{number}@"), headers, sdp, late)

    def reinvite(self, sdp: str, *, late: str = "") -> Message:
        """Send a re-INVITE with another offer; return the final response, acknowledged."""
        return self._invite(self._target, {}, sdp, late)

    def update(self, sdp: str) -> Message:
        """Send another offer by UPDATE (RFC 3311); return the response."""
        self._cseq += 1
        self._send(self.request("UPDATE", self._target, self._cseq, self._sdp_headers({}), sdp))
        return self.receive()

    def bye(self) -> int:
        """Hang up; return the status of the response."""
        self._cseq += 1
        self._send(self.request("BYE", self._target, self._cseq))
        return self.receive().status

    def _sdp_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {"Contact": f"<{self._contact}>", "Content-Type": "application/sdp", **headers}

    def _invite(self, target: str, headers: Mapping[str, str], sdp: str, late: str) -> Message:
        self._cseq += 1
        self._send(self.request("INVITE", target, self._cseq, self._sdp_headers(headers), sdp))
        final = next(answer for answer in iter(self.receive, None) if answer.status >= _FIRST_FINAL)
        self._to = final.header("To")
        if contact := final.header("Contact"):
            self._target = contact.partition("<")[2].partition(">")[0]
            # RFC 3261, 12.1.2: the proxies that stay in the path, in reverse order.
            self._routes = re.findall(r"^Record-Route: *(.*)$", final.head, re.MULTILINE)[::-1]
        self._send(self.request("ACK", self._target, self._cseq, self._sdp_headers({}) if late else {}, late))
        return final

    def request(
        self, method: str, uri: str, cseq: int, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> str:
        """Return a request of the dialog, or one outside it if there is none yet."""
        lines = {
            "Via": f"SIP/2.0/{self.transport} 127.0.0.1:9;branch=z9hG4bK{next(_branches)}-{self.call_id};rport",
            "Max-Forwards": "70",
            "From": f"<sip:+15550123@127.0.0.1>;tag={self.call_id}",
            "To": self._to or f"<{uri}>",
            "Call-ID": self.call_id,
            "CSeq": f"{cseq} {method}",
            **({"Route": ", ".join(self._routes)} if self._routes else {}),
            **(headers or {}),
            "Content-Length": str(len(body)),
        }
        return (
            f"{method} {uri} SIP/2.0\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            + f"\r\n{body}"
        )


class TlsCaller(StreamCaller):
    """The same over TLS."""

    transport = "TLS"
    socket: ssl.SSLSocket

    def __init__(
        self,
        address: str,
        context: ssl.SSLContext,
        *,
        contact: str | None = None,
        session: ssl.SSLSession | None = None,
        receive_bytes: int | None = None,
    ) -> None:
        plain = connect(address, receive_bytes)
        try:
            tls = context.wrap_socket(plain, server_hostname=address.partition(":")[0], session=session)
        except BaseException:
            plain.close()
            raise
        super().__init__(address, tls, contact)


def connect(address: str, receive_bytes: int | None = None) -> socket.socket:
    """Open a TCP connection. `receive_bytes` is the size of its receive buffer, which must be set before it opens."""
    host, _, port = address.partition(":")
    connected = socket.socket()
    try:
        connected.settimeout(10.0)
        if receive_bytes:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connected.connect((host, int(port)))
    except BaseException:
        connected.close()
        raise
    return connected


def _text(head: bytes, body: bytes) -> str:
    return (head + b"\r\n\r\n" + body).decode().replace("\r\n", "\n")
