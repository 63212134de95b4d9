"""A bot platform on loopback that records the events it gets."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HANG = b""


def status(code: int, *headers: str) -> bytes:
    """Return a response without a body."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {code} X\r\n{lines}Content-Length: 0\r\n\r\n".encode()


@dataclass
class Posted:
    """A POST that was received."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def key(self) -> tuple[str, int | None]:
        """The chat or call, and the sequence."""
        event = self.event
        return event.get("chat_id") or event["call_id"], event["sequence"]


class Receiver:
    """Responds with `respond(posted)`; `HANG` sends none. `accepted` has the uid and the sequence of each 2xx."""

    def __init__(self) -> None:
        self.url = ""
        self.posted: list[Posted] = []
        self.accepted: list[tuple[str, int | None]] = []
        self.respond: Callable[[Posted], bytes] = lambda _: OK
        self.delay: Callable[[Posted], float] = lambda _: 0.0
        self.connections = 0
        self.at_once = self.most_at_once = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                await self._exchange(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        posted = Posted(first.split()[1], headers, body, asyncio.get_running_loop().time())
        self.posted.append(posted)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._changed.set()
        response = self.respond(posted)
        await asyncio.sleep(self.delay(posted) if response else 3600)
        self.at_once -= 1
        writer.write(response)
        if response.startswith(b"HTTP/1.1 2"):
            self.accepted.append(posted.key)
        self._changed.set()

    async def until_accepted(self, count: int, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.accepted) < count:
                self._changed.clear()
                await self._changed.wait()

    async def until_posted(self, count: int, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.posted) < count:
                self._changed.clear()
                await self._changed.wait()

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port, backlog=1024)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        receiver.close()
        await asyncio.sleep(0)


def hmac_sha256(key: bytes, message: bytes) -> str:
    """Compute HMAC by RFC 2104, section 2, without the library that the bridge uses."""
    block = key if len(key) <= 64 else hashlib.sha256(key).digest()
    block = block.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()
