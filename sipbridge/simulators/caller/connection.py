"""The way to the bridge: SIP messages over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Literal, Protocol

Transport = Literal["udp", "tcp", "tls"]
_LENGTH = re.compile(rb"^Content-Length\s*:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_MAX_BYTES = 131_072


class Connection(Protocol):
    """A way to the bridge. `local` is our address."""

    transport: Transport
    local: tuple[str, int]

    def send(self, text: str) -> None:
        """Send a message."""

    async def receive(self) -> str:
        """Return the next message. Raises `OSError` if the bridge is not there, or closes the connection."""

    def close(self) -> None:
        """Close it."""


async def connect(
    transport: Transport, host: str, port: int, context: ssl.SSLContext | None = None, name: str | None = None
) -> Connection:
    """Open a way to a SIP server. Raises `OSError`.

    `context` is for TLS, and `name` the name in the certificate if it is not the host.
    """
    if transport == "udp":
        _, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, remote_addr=(host, port))
        return datagrams
    reader, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=name if context else None, limit=_MAX_BYTES
    )
    return Stream(transport, reader, writer)


class Datagrams(asyncio.DatagramProtocol):
    """SIP over UDP, from a socket that is connected, so that an unused port is reported."""

    transport: Transport = "udp"

    def __init__(self) -> None:
        self.local = ("", 0)
        self._received: asyncio.Queue[bytes | OSError] = asyncio.Queue()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the socket."""
        self._socket = transport
        self.local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 (the socket is connected)
        """Keep a message."""
        self._received.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Keep an error of the network (ICMP)."""
        self._received.put_nowait(exc if isinstance(exc, OSError) else OSError(str(exc)))

    def send(self, text: str) -> None:
        """Send a message."""
        self._socket.sendto(text.encode())

    async def receive(self) -> str:
        """Return the next message."""
        received = await self._received.get()
        if isinstance(received, OSError):
            raise received
        return received.decode(errors="replace")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Stream:
    """SIP over TCP or TLS."""

    def __init__(self, transport: Transport, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.transport = transport
        self.local: tuple[str, int] = writer.get_extra_info("sockname")[:2]
        self._reader = reader
        self._writer = writer

    def send(self, text: str) -> None:
        """Send a message."""
        self._writer.write(text.encode())

    async def receive(self) -> str:
        """Return the next message; CR LF between messages is a ping or its reply (RFC 5626, 3.5.1)."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
            while not head:
                head = (await self._reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
            length = _LENGTH.search(head)
            body = await self._reader.readexactly(int(length[1]) if length else 0)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the bridge closed the connection") from None
        except asyncio.LimitOverrunError:
            raise ConnectionResetError("the peer sends no SIP") from None
        return (head + body).decode(errors="replace")

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
