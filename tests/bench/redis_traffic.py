"""The requests of a bridge to Redis, recorded on their way, as patterns that can be sent again for other nodes.

The protocol is RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/): a request is an array of strings.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Request = tuple[bytes, ...]

_LINE_END = b"\r\n"


def encode(request: Sequence[bytes]) -> bytes:
    """Return a request as Redis reads it."""
    parts = [b"*%d\r\n" % len(request), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in request)]
    return b"".join(parts)


@dataclass(slots=True)
class Reader:
    """Splits a stream of bytes into requests."""

    _left: bytes = b""

    def feed(self, received: bytes) -> Iterator[Request]:
        """Return the requests that are complete."""
        self._left += received
        while (found := _read(self._left)) is not None:
            request, length = found
            self._left = self._left[length:]
            yield request


def _read(received: bytes) -> tuple[Request, int] | None:
    """Return the first request and its length, or None if it is not complete."""
    at = received.find(_LINE_END)
    if at < 0:
        return None
    count, at = int(received[1:at]), at + len(_LINE_END)
    parts: list[bytes] = []
    while len(parts) < count:
        end = received.find(_LINE_END, at)
        if end < 0:
            return None
        begin = end + len(_LINE_END)
        at = begin + int(received[at + 1 : end]) + len(_LINE_END)
        if at > len(received):
            return None
        parts.append(received[begin : at - len(_LINE_END)])
    return tuple(parts), at


@dataclass(frozen=True, slots=True)
class Pattern:
    """Requests with variables: `fill` returns them with other values. Each variable is bytes that occur in them."""

    requests: tuple[Request, ...]
    variables: tuple[bytes, ...]

    def fill(self, values: Mapping[bytes, bytes]) -> list[Request]:
        """Return the requests with these values of the variables."""
        return [tuple(_replaced(part, values) for part in request) for request in self.requests]

    @property
    def size(self) -> int:
        """Their length as Redis reads them, in bytes."""
        return sum(len(encode(request)) for request in self.requests)


def _names(request: Request, texts: Sequence[bytes]) -> bool:
    return any(text in part for part in request for text in texts)


def _replaced(part: bytes, values: Mapping[bytes, bytes]) -> bytes:
    for variable, value in values.items():
        part = part.replace(variable, value)
    return part


@dataclass(slots=True)
class Recording:
    """The requests of a bridge, in order. Another thread adds to it."""

    requests: list[Request] = field(default_factory=list)

    def about(self, text: bytes, *others: bytes) -> tuple[Request, ...]:
        """Return the requests with this text, and those with one of the others that lie between two with it."""
        named = [at for at, request in enumerate(self.requests) if _names(request, (text,))]
        between = self.requests[named[0] : named[-1] + 1] if named else []
        return tuple(request for request in between if _names(request, (text, *others)))


@contextmanager
def recorded(redis_port: int) -> Iterator[tuple[int, Recording]]:
    """Pass on everything between a port of this machine, which is returned, and Redis; record the requests."""
    recording = Recording()
    port: Future[int] = Future()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def serve() -> None:
        async def pass_on(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
            await _pass_on(client, to_client, redis_port, recording)

        async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
            port.set_result(server.sockets[0].getsockname()[1])
            await stopped.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="redis-recorder")
    thread.start()
    try:
        yield port.result(timeout=10), recording
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


async def _pass_on(
    client: asyncio.StreamReader, to_client: asyncio.StreamWriter, redis_port: int, recording: Recording
) -> None:
    """Pass on both ways until either side ends."""
    redis, to_redis = await asyncio.open_connection("127.0.0.1", redis_port)
    reader = Reader()

    async def requests() -> None:
        while received := await client.read(65536):
            recording.requests.extend(reader.feed(received))
            to_redis.write(received)
        to_redis.write_eof()

    async def responses() -> None:
        while received := await redis.read(65536):
            to_client.write(received)

    try:
        with suppress(ConnectionError):
            await asyncio.gather(requests(), responses())
    finally:
        to_redis.close()
        to_client.close()
