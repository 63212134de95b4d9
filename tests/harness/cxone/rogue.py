"""CXones that misbehave on the wire, in ways that the simulator's faults cannot.

A rogue is a proxy in front of the simulator; on the endpoints that it spoils it applies a `Trick`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

Trick = Callable[[asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

_STREAM_LIMIT = 16 * 1024 * 1024
_ENDPOINTS = {
    "discovery": rb"GET /\.well-known/openid-configuration",
    "token": rb"POST /auth/token",
    "configuration": rb"GET /\.well-known/cxone-configuration",
    "signal": rb"POST /inContactAPI/services/[^/]+/interactions/[^/]+/signal",
    "transcript": rb"POST /aai/tms/transcripts/post",
}


def says(*parts: bytes, seconds_between: float = 0.05) -> Trick:
    """Send these pieces, one after the other, and close."""

    async def trick(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(seconds_between)

    return trick


def hangs(said: bytes = b"") -> Trick:
    """Send this much, and then nothing."""

    async def trick(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await asyncio.Event().wait()

    return trick


def resets(said: bytes = b"") -> Trick:
    """Send this much, and reset the connection: with a linger time of 0 the kernel sends RST instead of FIN."""

    async def trick(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return trick


def goes_on(head: bytes, again: bytes) -> Trick:
    """Send a header, and then repeat a body for as long as the client reads."""

    async def trick(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()

    return trick


def answer(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """Return an HTTP/1.1 response, by default with the right `Content-Length`; `_` in header names becomes `-`."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Rogue:
    """One rogue: its URL, the requests per endpoint, and the credentials that it received."""

    def __init__(self, upstream: str, tricks: Mapping[str, Trick]) -> None:
        self.asked: Counter[str] = Counter()
        self.credentials: set[str] = set()
        self.url = ""
        self._upstream = urlsplit(upstream)
        self._tricks = tricks
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self, host: str) -> asyncio.Server:
        """Accept requests from now on."""
        server = await asyncio.start_server(self._take, host, 0, limit=_STREAM_LIMIT)
        self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        return server

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)  # without a reference, a task that hangs would be garbage collected
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
            writer.close()
        except (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.CancelledError,
        ):  # the block of `rogues` ends after the last one
            writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "connection" in self._tricks:
            self.asked["connection"] += 1
            await self._tricks["connection"](writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.credentials |= set(re.findall(r"(?i)\r\nauthorization: \w+ (\S+)", head.decode("latin-1")))
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        endpoint = next((name for name, line in _ENDPOINTS.items() if re.match(line, head)), "other")
        self.asked[endpoint] += 1
        if endpoint in self._tricks:
            await self._tricks[endpoint](writer)
        else:
            await self._pass_on(head, body, writer)

    async def _pass_on(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        onward.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        writer.write(await upstream.read())
        await writer.drain()
        onward.close()


class Rogues:
    """All rogues, on a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: str) -> None:
        self._loop = loop
        self._upstream = upstream
        self._servers: list[asyncio.Server] = []

    def open(self, tricks: Mapping[str, Trick], host: str = "127.0.0.1") -> Rogue:
        """Start one with tricks by endpoint (the simulator's names); `connection` is a trick before any HTTP."""
        rogue = Rogue(self._upstream, tricks)
        self._servers.append(self._do(rogue.listen(host)))
        return rogue

    def close(self) -> None:
        """Close all connections and ports."""
        self._do(_cancel_all())
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.close)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def rogues(upstream: str) -> Iterator[Rogues]:
    """Run rogues in front of the simulator at that URL until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="rogues", daemon=True)
    thread.start()
    all_of_them = Rogues(loop, upstream)
    try:
        yield all_of_them
    finally:
        all_of_them.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
