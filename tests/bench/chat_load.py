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
_NO_RESPONSE = 0
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Reader(asyncio.Protocol):
    """A connection on which whole HTTP messages with a Content-Length arrive."""

    def __init__(
        self,
        on_message: Callable[[_Reader, bytes, bytes], None],
        on_lost: Callable[[_Reader], None] = lambda _: None,
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream

    def connection_lost(self, _: Exception | None) -> None:
        self._on_lost(self)

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
    """Posts to the chats of a project at `url`, over at most CONNECTIONS connections.

    `rejected` counts the responses other than 2xx, and the requests whose connection the bridge closed.
    """

    url: str
    key: str
    rejected: int = 0
    _idle: deque[_Reader] = field(default_factory=deque)
    _waiting: dict[_Reader, asyncio.Future[int]] = field(default_factory=dict)
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        self._address = parts.hostname or "", parts.port or 80
        self._path = parts.path
        self._head = f"Host: {parts.netloc}\r\nx-api-key: {self.key}\r\nContent-Type: application/json\r\n"
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
            reader = self._idle.popleft() if self._idle else await self._connect()
            waiter = self._waiting[reader] = asyncio.get_running_loop().create_future()
            request = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
            assert reader.transport is not None
            reader.transport.write(request.encode() + content)
            status = await waiter
        self.rejected += not 200 <= status < 300

    async def _connect(self) -> _Reader:
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: _Reader(self._respond, self._lose), *self._address)
        return reader

    def _respond(self, reader: _Reader, head: bytes, _: bytes) -> None:
        self._idle.append(reader)
        self._waiting.pop(reader).set_result(int(head[9:12]))

    def _lose(self, reader: _Reader) -> None:
        """Drop a connection that the bridge closed; a request on it counts as rejected."""
        if reader in self._idle:
            self._idle.remove(reader)
        elif reader in self._waiting:
            self._waiting.pop(reader).set_result(_NO_RESPONSE)


@dataclass
class Webhook:
    """The receiver of the events: it keeps each with the time of its arrival, and reads them later."""

    received: list[tuple[float, bytes]] = field(default_factory=list)
    _counted: dict[bytes, tuple[int, int]] = field(default_factory=dict)

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
        """Return the number of events of a type so far.

        It reads only the events that are new since it was last called: the time would delay those that arrive now.
        """
        mark = b'"type":"' + kind + b'"'
        read, found = self._counted.get(kind, (0, 0))
        found += sum(mark in body for _, body in self.received[read:])
        self._counted[kind] = len(self.received), found
        return found

    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """Return all events, with the times of their arrival."""
        return [(at, orjson.loads(body)) for at, body in self.received]
