"""A server on loopback that responds with given bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """A server that records requests and connections, and responds with the next of `responses`."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.connections = 0
        self.requests: list[bytes] = []
        self.requested = asyncio.Event()
        self.closed = asyncio.Event()
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                self.requested.set()
                writer.write(self.responses.pop(0) if self.responses else OK)
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()
        finally:
            writer.transport.abort()

    def send_unsolicited(self, text: bytes) -> None:
        """Send unsolicited bytes on the newest connection."""
        self._writers[-1].write(text)

    def finish(self) -> None:
        """Close after everything is sent."""
        self._writers[-1].close()

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(*responses: bytes) -> AsyncIterator[Server]:
    server = Server(*responses)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await server.hang_up()
        listener.close()
