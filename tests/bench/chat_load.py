"""A bot platform under load: it posts messages over a few kept connections, and gets the events by its webhook."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 32
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Reader(asyncio.Protocol):
    """A connection on which whole HTTP messages with a Content-Length arrive."""

    def __init__(self, on_message: Callable[[_Reader, bytes, bytes], None]) -> None:
        self._on_message = on_message
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            _, found, length = head.partition(b"content-length: ")
            size = int(length.partition(b"\r\n")[0]) if found else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self._on_message(self, head, body)


@dataclass
class Bot:
    """Posts to the chats of a project at `url`. `rejected` counts the responses other than 2xx."""

    url: str
    key: str
    rejected: int = 0
    _idle: deque[_Reader] = field(default_factory=deque)
    _waiting: dict[_Reader, asyncio.Future[int]] = field(default_factory=dict)
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        self._path = parts.path
        self._head = f"Host: {parts.netloc}\r\nx-api-key: {self.key}\r\nContent-Type: application/json\r\n"
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, reader = await loop.create_connection(
                lambda: _Reader(self._respond), parts.hostname or "", parts.port or 80
            )
            self._idle.append(reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for reader in (*self._idle, *self._waiting):
            if reader.transport is not None:
                reader.transport.abort()

    async def start(self, chat_id: str) -> None:
        """Hand a chat off."""
        await self._post("/chats", {"id": chat_id, "reason": "benchmark"})

    async def say(self, chat_id: str, number: int) -> None:
        """Send a message that carries its number and the time."""
        text = f"{number} {time.time():.6f} {'x' * 60}"
        await self._post(f"/chats/{chat_id}/messages", {"id": f"m{number}", "text": text})

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        content = orjson.dumps(body)
        async with self._free:
            reader = self._idle.popleft()
            waiter = self._waiting[reader] = asyncio.get_running_loop().create_future()
            request = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
            assert reader.transport is not None
            reader.transport.write(request.encode() + content)
            status = await waiter
            self._idle.append(reader)
        self.rejected += not 200 <= status < 300

    def _respond(self, reader: _Reader, head: bytes, _: bytes) -> None:
        self._waiting.pop(reader).set_result(int(head[9:12]))


@dataclass
class Webhook:
    """The receiver of the events: it keeps each with the time of its arrival, and reads them later."""

    received: list[tuple[float, bytes]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Reader(self._take), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/events"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()

    def _take(self, reader: _Reader, _: bytes, body: bytes) -> None:
        self.received.append((time.time(), body))
        if reader.transport is not None:
            reader.transport.write(_RESPONSE)

    def count(self, kind: bytes) -> int:
        """Return the number of events of a type so far."""
        mark = b'"type":"' + kind + b'"'
        return sum(mark in body for _, body in self.received)

    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """Return all events, with the times of their arrival."""
        return [(at, orjson.loads(body)) for at, body in self.received]
