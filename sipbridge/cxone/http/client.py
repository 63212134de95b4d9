"""The HTTP client for CXone, shared by all tenants: only what CXone needs, with limits on the rest.

It is not aiohttp's because every handoff sends a Signal, and its result must be known exactly: `CxoneNotReached` means
that no byte of the request was sent, any other `CxoneError` that CXone may have received it. With aiohttp's client a
Signal took twice the processor time, and endless interim responses (1xx) blocked the event loop for seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode

from sipbridge import __version__
from sipbridge.config import authority
from sipbridge.connection_errors import explain_connection_error
from sipbridge.cxone.http.connection import Connection, NoResponse, Response
from sipbridge.cxone.http.urls import Target, target_of
from sipbridge.dns import Resolver
from sipbridge.errors import CxoneError, CxoneNotReached, NameNotResolved

_CONNECTIONS_PER_ORIGIN = 500  # for 400 Signals per second, of which CXone may take a second each, and some reserve
# Shorter than usual load balancers (60 s): a request on a connection that is being closed could not be repeated.
_IDLE_SECONDS = 15.0
# Without Accept, CXone may respond "No known way to render data". Without compression, no response grows when read.
_FIXED_HEADERS = f"Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: sipbridge/{__version__}\r\n"


class Announcement(NamedTuple):
    """Callbacks that are awaited before the first byte of a request is sent.

    `sending`: the connection is open and the byte is about to be sent. `not_sent`: the connection has closed meanwhile,
    and another one is opened.
    """

    sending: Callable[[], Awaitable[None]]
    not_sent: Callable[[], Awaitable[None]]


class _Pool:
    """The connections to one origin."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_CONNECTIONS_PER_ORIGIN)
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()

    def make_connection(self) -> Connection:
        """Make the protocol of a connection that is about to be opened."""
        return Connection(self._released)

    def add(self, connection: Connection) -> None:
        """Add an open connection, until it ends. One whose TLS handshake failed would never end."""
        if connection.is_free:
            self._open.add(connection)

    def pop_idle(self) -> Connection | None:
        """Return the connection that was used last, so that surplus connections time out."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_free:
                return connection
        return None

    def close(self) -> None:
        """Close all of them."""
        for connection in list(self._open):
            connection.abort()

    def _released(self, connection: Connection) -> None:
        if connection.is_free:
            connection.linger(_IDLE_SECONDS)
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)
            self._open.discard(connection)


class HttpClient:
    """An HTTP/1.1 client that verifies certificates. CXone's `/auth/token` failed over HTTP/2. Needs a running loop.

    No cookies, which could pass from one tenant to another; no redirects, no proxies, no settings of the environment.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context()
        self._resolver = resolver
        self._pools: defaultdict[tuple[str, int, bool], _Pool] = defaultdict(_Pool)

    async def get(self, url: str, seconds: float) -> Response:
        """Send a GET and return the response with its body. Raises `CxoneError`."""
        return await self._send("GET", target_of(url), "", {}, b"", seconds, with_body=True)

    async def post_form(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str], seconds: float
    ) -> Response:
        """Post a form and return the response with its body. Raises `CxoneError`."""
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", target_of(url), "", headers, urlencode(form).encode(), seconds, with_body=True)

    async def post(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        announcement: Announcement | None = None,
    ) -> Response:
        """Post to the URL `base` + `path` and return the head of the response.

        Raises `CxoneNotReached` if nothing was sent, and `CxoneError` if there was no response.
        """
        return await self._send("POST", target_of(base), path, headers, body, seconds, announcement, with_body=False)

    async def close(self) -> None:
        """Close all connections, with the requests in progress."""
        for pool in self._pools.values():
            pool.close()
        await asyncio.sleep(0)  # the iteration of the loop that closes their sockets

    async def _send(
        self,
        method: str,
        target: Target,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        announcement: Announcement | None = None,
        *,
        with_body: bool,
    ) -> Response:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        head = (
            f"{method} {target.path + path or '/'} HTTP/1.1\r\nHost: {target.authority}\r\n"
            f"{_FIXED_HEADERS}{lines}{length}\r\n"
        )
        deadline = self._loop.time() + seconds
        pool = self._pools[target.host, target.port, target.tls]
        await self._acquire_slot(target, pool, deadline - seconds / 2)
        try:
            connection = pool.pop_idle() or await self._connect(target, pool, deadline - seconds / 2)
            if announcement is not None:
                connection = await self._announced(connection, announcement, target, pool, deadline)
            return await connection.exchange(head.encode("ascii") + body, deadline, with_body=with_body)
        except NoResponse as error:
            raise CxoneError(f"no response from {target.host} ({error})") from error
        finally:
            pool.slots.release()

    async def _announced(
        self,
        connection: Connection,
        announcement: Announcement,
        target: Target,
        pool: _Pool,
        deadline: float,
    ) -> Connection:
        """Announce the request and return a connection that is open after that. Raises `CxoneNotReached`."""
        latest = (self._loop.time() + deadline) / 2
        while True:
            try:
                await announcement.sending()
            except BaseException:
                connection.abort()
                raise
            if self._loop.time() >= latest:
                connection.abort()
                raise CxoneNotReached("no time left")
            if connection.is_free:
                return connection
            await announcement.not_sent()
            connection = await self._connect(target, pool, latest)

    async def _acquire_slot(self, target: Target, pool: _Pool, deadline: float) -> None:
        if not pool.slots.locked():  # the usual case, without the cost of a timer
            await pool.slots.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await pool.slots.acquire()
        except TimeoutError as error:
            raise CxoneNotReached(f"no connection to {authority(target.host, target.port)} is free") from error

    async def _connect(self, target: Target, pool: _Pool, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                socket = await self._resolver.connect(target.host, target.port)
                _, connection = await self._loop.create_connection(
                    pool.make_connection,
                    sock=socket,
                    ssl=self._tls if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )
        except NameNotResolved as error:
            raise CxoneNotReached(str(error)) from error
        except OSError as error:  # includes ssl.SSLError and TimeoutError
            why = explain_connection_error(error)
            raise CxoneNotReached(f"no connection to {authority(target.host, target.port)}: {why}") from error
        pool.add(connection)
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
