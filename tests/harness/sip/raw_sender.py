"""A bare SIP peer: it sends given bytes, and returns the responses."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.harness.programs.bridge import Bridge

_STATUS = re.compile(rb"^SIP/2\.0 (\d{3}) ", re.MULTILINE)
_SECONDS = 10.0
_SILENCE_SECONDS = 0.5
_LAST_BRANCH = "last-request"
_FINAL = 200


def address_of(address: str) -> tuple[str, int]:
    """Split `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def options(local: tuple[str, int], branch: str, *, transport: str = "UDP") -> bytes:
    """Return an OPTIONS whose response can be identified by its branch."""
    host, port = local
    lines = [
        "OPTIONS sip:ping@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{transport} {host}:{port};rport;branch=z9hG4bK-{branch}",
        f"From: <sip:ping@{host}:{port}>;tag=ping",
        "To: <sip:ping@127.0.0.1>",
        f"Call-ID: {branch}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


class Pinger:
    """A sender of OPTIONS over UDP that measures the bridge's response time; `source` is its address.

    It waits `seconds` for each response.
    """

    def __init__(self, address: str, source: str = "127.0.0.1", seconds: float = _SECONDS) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._socket.connect(address_of(address))
        self._socket.settimeout(seconds)
        self._number = 0

    def ping(self) -> float | None:
        """Return the response time in milliseconds; None without a response."""
        began = time.monotonic()
        try:
            self._send_options()
        except OSError:
            return None
        return (time.monotonic() - began) * 1000

    def response(self) -> tuple[int, str]:
        """Return the status of the response, and its Retry-After."""
        answer = self._send_options()
        retry_after = re.search(rb"^Retry-After: (.*)\r$", answer, re.MULTILINE)
        return int(_STATUS.findall(answer)[0]), retry_after[1].decode() if retry_after else ""

    def _send_options(self) -> bytes:
        self._number += 1
        branch = f"ping-{self._socket.getsockname()[1]}-{self._number}-"
        self._socket.send(options(self._socket.getsockname(), branch))
        while branch.encode() not in (answer := self._socket.recv(65_535)):
            pass
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()


class RawSender:
    """A sender of single messages to a bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def final_statuses(self, message: bytes, *, over_tcp: bool = False) -> tuple[int, ...]:
        """Send some bytes; return their final statuses, once the bridge has processed them."""
        received = self._over_tcp(message) if over_tcp else self._over_udp(message)
        statuses = tuple(int(status) for status in _STATUS.findall(received))
        return tuple(status for status in statuses if status >= _FINAL)

    def _over_udp(self, message: bytes) -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, Pinger(self._bridge.sip) as pinger:
            udp.bind(("127.0.0.1", 0))
            udp.sendto(message, address_of(self._bridge.sip))
            # Datagrams are read in order: after the response to this one, the other has been processed too.
            assert pinger.ping() is not None
            udp.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
            return self._read_all(udp)

    @staticmethod
    def _read_all(udp: socket.socket) -> bytes:
        received: list[bytes] = []
        while True:
            try:
                received.append(udp.recv(65_535))
            except BlockingIOError:
                return b"".join(received)

    def _over_tcp(self, message: bytes) -> bytes:
        """Send it on a connection of its own, followed by an OPTIONS, whose response would come after all others."""
        with socket.create_connection(address_of(self._bridge.sip_tcp), timeout=_SECONDS) as tcp:
            tcp.sendall(message)
            with Pinger(self._bridge.sip) as pinger:
                assert pinger.ping() is not None
            received = b""
            tcp.settimeout(_SILENCE_SECONDS)
            # The connection may be closed, or the bridge may wait for the rest of the message.
            with suppress(OSError):
                tcp.sendall(b"\r\n\r\n" + options(tcp.getsockname(), _LAST_BRANCH, transport="TCP"))
                while _LAST_BRANCH.encode() not in received and (data := tcp.recv(65_535)):
                    received += data
            return received.partition(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 127.0.0.1")[0]
