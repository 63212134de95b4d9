"""CXones that misbehave on the wire, in ways that the simulator's faults cannot.

A `FaultyProxy` is in front of the simulator, and applies a `WireFault` to some of its endpoints.
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

WireFault = Callable[[asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

_STREAM_LIMIT = 16 * 1024 * 1024
_ENDPOINTS = {
    "discovery": rb"GET /\.well-known/openid-configuration",
    "token": rb"POST /auth/token",
    "configuration": rb"GET /\.well-known/cxone-configuration",
    "signal": rb"POST /inContactAPI/services/[^/]+/interactions/[^/]+/signal",
    "transcript": rb"POST /aai/tms/transcripts/post",
}


def send_and_close(*parts: bytes, seconds_between: float = 0.05) -> WireFault:
    """Send these pieces, one after the other, and close."""

    async def fault(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(seconds_between)

    return fault


def send_and_hang(sent: bytes = b"") -> WireFault:
    """Send this much, and then nothing."""

    async def fault(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.Event().wait()

    return fault


def send_and_reset(sent: bytes = b"") -> WireFault:
    """Send this much, and reset the connection: with a linger time of 0 the kernel sends RST instead of FIN."""

    async def fault(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return fault


def send_forever(head: bytes, repeated: bytes) -> WireFault:
    """Send a header, and then repeat a body for as long as the client reads."""

    async def fault(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(repeated)
            await writer.drain()

    return fault


def http_response(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """Return an HTTP/1.1 response, by default with the right `Content-Length`; `_` in header names becomes `-`."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class FaultyProxy:
    """One proxy: its URL, the requests per endpoint, and the credentials that it received."""

    def __init__(self, upstream: str, faults: Mapping[str, WireFault]) -> None:
        self.requests: Counter[str] = Counter()
        self.credentials: set[str] = set()
        self.url = ""
        self._upstream = urlsplit(upstream)
        self._faults = faults
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self, host: str) -> asyncio.Server:
        """Accept requests from now on."""
        server = await asyncio.start_server(self._accept, host, 0, limit=_STREAM_LIMIT)
        self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)  # without a reference, a task that hangs would be garbage collected
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._respond(reader, writer)
            writer.close()
        except (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.CancelledError,
        ):  # the block of `faulty_proxies` ends after the last one
            writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "connection" in self._faults:
            self.requests["connection"] += 1
            await self._faults["connection"](writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.credentials |= set(re.findall(r"(?i)\r\nauthorization: \w+ (\S+)", head.decode("latin-1")))
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        endpoint = next((name for name, line in _ENDPOINTS.items() if re.match(line, head)), "other")
        self.requests[endpoint] += 1
        if endpoint in self._faults:
            await self._faults[endpoint](writer)
        else:
            await self._forward(head, body, writer)

    async def _forward(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        onward.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        writer.write(await upstream.read())
        await writer.drain()
        onward.close()


class FaultyProxies:
    """All proxies, on a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: str) -> None:
        self._loop = loop
        self._upstream = upstream
        self._servers: list[asyncio.Server] = []

    def open(self, faults: Mapping[str, WireFault], host: str = "127.0.0.1") -> FaultyProxy:
        """Start one with faults by endpoint (the simulator's names); `connection` is a fault before any HTTP."""
        proxy = FaultyProxy(self._upstream, faults)
        self._servers.append(self._run(proxy.listen(host)))
        return proxy

    def close(self) -> None:
        """Close all connections and ports."""
        self._run(_cancel_all())
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.close)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def faulty_proxies(upstream: str) -> Iterator[FaultyProxies]:
    """Run proxies in front of the simulator at that URL until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="faulty proxies", daemon=True)
    thread.start()
    proxies = FaultyProxies(loop, upstream)
    try:
        yield proxies
    finally:
        proxies.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
