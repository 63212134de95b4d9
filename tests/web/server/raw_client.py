"""A client of the API that sends bytes, and reads the responses."""

from __future__ import annotations

import asyncio

from tests.web.conftest import Bridge
from tests.web.fakes import KEY

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HANDOFF = f"POST /v1/acme/billing/calls/call-1/handoff HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n".encode()


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> RawConnection:
        self.writer.write(data)
        return self

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """Read one response: status, headers in lower case, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def status(self) -> int:
        return (await self.response())[0]

    async def is_closed(self) -> bool:
        """True if the peer has closed the connection after its last response."""
        try:
            async with asyncio.timeout(5):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        return True

    async def is_open(self) -> bool:
        return await self.send(HEALTH).status() == 200


class RawClient:
    """Connections to a bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.connections: list[RawConnection] = []

    async def connection(self, data: bytes = b"", source: str = "127.0.0.1") -> RawConnection:
        host, _, port = self.bridge.base.removeprefix("http://").partition(":")
        self.connections.append(RawConnection(*await asyncio.open_connection(host, int(port), local_addr=(source, 0))))
        return self.connections[-1].send(data)

    async def close(self) -> None:
        for connection in self.connections:
            connection.writer.transport.abort()
