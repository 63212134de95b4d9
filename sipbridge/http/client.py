"""The HTTP client for CXone, webhooks and attachments: only what these need, with limits on the rest.

It is not aiohttp's because every handoff sends a Signal, and its result must be known exactly: `HttpNotReached` means
that no byte of the request was sent, any other `HttpError` that the server may have received it. With aiohttp's client
a Signal took twice the processor time, and endless interim responses (1xx) blocked the event loop for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Literal, NamedTuple, Self

from sipbridge import __version__, file_descriptors
from sipbridge.config import authority
from sipbridge.connection_errors import explain_connection_error
from sipbridge.dns import Peer, Resolver, connect_first
from sipbridge.errors import (
    HttpError,
    HttpForbidden,
    HttpNotReached,
    HttpWithheld,
    NameNotResolved,
    ResponseTooLarge,
)
from sipbridge.http.connection import MAX_BODY_BYTES, BodyTooLarge, Connection, NoResponse, Response
from sipbridge.http.tls import system_tls
from sipbridge.http.urls import Target, target_of

CONNECTIONS_PER_ORIGIN = 500  # for 400 Signals per second, of which CXone may take a second each, and some reserve
# Shorter than usual load balancers (60 s): a request on a connection that is being closed could not be repeated.
_IDLE_SECONDS = 15.0
# Without compression, no response grows when read.
_FIXED_HEADERS = f"Accept-Encoding: identity\r\nUser-Agent: sipbridge/{__version__}\r\n"
_ACCEPT = "Accept: application/json\r\n"  # without it, CXone may respond "No known way to render data"
_MAX_POOLS = 256  # before those without a connection are removed

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Announcement(NamedTuple):
    """Callbacks that are awaited before the first byte of a request is sent.

    `sending`: the connection is open and the byte is about to be sent. `not_sent`: the connection has closed meanwhile,
    and another one is opened.
    """

    sending: Callable[[], Awaitable[None]]
    not_sent: Callable[[], Awaitable[None]]


class _Pool:
    """The connections to one origin."""

    def __init__(self, connections: int) -> None:
        self.slots = asyncio.Semaphore(connections)
        self.requests = 0
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()

    @property
    def is_unused(self) -> bool:
        """True if it has no connection and no request that waits for one."""
        return not self._open and not self.requests

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

    `allows` checks each address that a connection would be opened to; without it, all are allowed. `author` names the
    one who writes the URLs if that is not the operator: lookups of its host names count against its share. A client
    that `spares_descriptors` leaves the reserved file descriptors to calls in progress. Requests beyond
    `connections_per_origin` wait for a connection. `may_send` is asked right before the first byte of each request.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        allows: Callable[[str], bool] | None = None,
        author: str = "",
        spares_descriptors: bool = False,
        connections_per_origin: int = CONNECTIONS_PER_ORIGIN,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = system_tls()
        self._resolver = resolver
        self._allows = allows
        self._author = author
        self._spares_descriptors = spares_descriptors
        self._connections_per_origin = connections_per_origin
        self._may_send = may_send
        self._pools: dict[tuple[str, int, bool], _Pool] = {}

    async def request(
        self,
        method: Method,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        seconds: float,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        """Send a request and return the response, whatever its status, with its body; all within `seconds`.

        Raises `HttpNotReached` if nothing was sent, also for a URL that is not valid; `HttpWithheld` of these if it may
        not be sent; `ResponseTooLarge` if the body has more than `max_bytes`; and `HttpError` if there was no response.
        """
        try:
            target = target_of(url)
        except ValueError as error:
            raise HttpNotReached(f"the URL is not valid: {error}") from None
        return await self._send(method, target, "", headers, body, seconds, max_bytes)

    async def post_for_head(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        announcement: Announcement | None = None,
    ) -> Response:
        """Post to the URL `base` + `path` and return the response as soon as its head is complete, without its body.

        Raises `HttpNotReached` if nothing was sent, and `HttpError` if there was no response.
        """
        return await self._send("POST", target_of(base), path, headers, body, seconds, None, announcement)

    async def close(self) -> None:
        """Close all connections, with the requests in progress."""
        for pool in self._pools.values():
            pool.close()
        await asyncio.sleep(0)  # the iteration of the loop that closes their sockets

    async def _send(
        self,
        method: Method,
        target: Target,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        max_bytes: int | None,
        announcement: Announcement | None = None,
    ) -> Response:
        request = _head(method, target, path, headers, len(body)) + body
        deadline = self._loop.time() + seconds
        pool = self._pool_of(target)
        pool.requests += 1
        try:
            await self._acquire_slot(target, pool, deadline - seconds / 2)
            try:
                connection = pool.pop_idle() or await self._connect(target, pool, deadline - seconds / 2)
                if announcement is not None:
                    connection = await self._announced(connection, announcement, target, pool, deadline)
                if self._may_send is not None and not self._may_send():
                    connection.abort()
                    raise HttpWithheld("another node may do this instead")
                return await connection.exchange(request, deadline, max_bytes)
            finally:
                pool.slots.release()
        except BodyTooLarge as error:
            raise ResponseTooLarge(f"the response of {target.host} has {error}") from error
        except NoResponse as error:
            raise HttpError(f"no response from {target.host} ({error})") from error
        finally:
            pool.requests -= 1

    def _pool_of(self, target: Target) -> _Pool:
        key = target.host, target.port, target.tls
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= _MAX_POOLS:
                self._pools = {other: each for other, each in self._pools.items() if not each.is_unused}
            pool = self._pools[key] = _Pool(self._connections_per_origin)
        return pool

    async def _announced(
        self,
        connection: Connection,
        announcement: Announcement,
        target: Target,
        pool: _Pool,
        deadline: float,
    ) -> Connection:
        """Announce the request and return a connection that is open after that. Raises `HttpNotReached`."""
        latest = (self._loop.time() + deadline) / 2
        while True:
            try:
                await announcement.sending()
            except BaseException:
                connection.abort()
                raise
            if self._loop.time() >= latest:
                connection.abort()
                raise HttpNotReached("no time left")
            if connection.is_free:
                return connection
            await announcement.not_sent()
            connection = await self._connect(target, pool, latest)

    async def _acquire_slot(self, target: Target, pool: _Pool, deadline: float) -> None:
        if pool.requests <= self._connections_per_origin:  # the usual case, without the cost of a timer
            await pool.slots.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await pool.slots.acquire()
        except TimeoutError as error:
            raise HttpNotReached(f"no connection to {authority(target.host, target.port)} is free") from error

    async def _connect(self, target: Target, pool: _Pool, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                socket = await connect_first(await self._addresses(target.host), target.port)
                if self._spares_descriptors and file_descriptors.is_reserved(socket.fileno()):
                    socket.close()
                    raise HttpNotReached("the free file descriptors are reserved for calls")
                _, connection = await self._loop.create_connection(
                    pool.make_connection,
                    sock=socket,
                    ssl=self._tls if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )
        except NameNotResolved as error:
            raise HttpNotReached(str(error)) from error
        except OSError as error:  # includes ssl.SSLError and TimeoutError
            why = explain_connection_error(error)
            raise HttpNotReached(f"no connection to {authority(target.host, target.port)}: {why}") from error
        pool.add(connection)
        return connection

    async def _addresses(self, host: str) -> Sequence[str]:
        """Return the addresses to connect to. They are not looked up again, so a name cannot change after the check."""
        addresses = await self._resolver.addresses(host, Peer(self._author, host) if self._author else None)
        if self._allows is not None:
            addresses = tuple(address for address in addresses if self._allows(address))
            if not addresses:
                raise HttpForbidden(f"{host} has no public address, and private ones are not allowed")
        return addresses

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()


def _head(method: Method, target: Target, path: str, headers: Mapping[str, str], length: int) -> bytes:
    """Return the head of a request. Raises `ValueError` if a header has a line break or is not ASCII."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header of the request has a line break")
    accept = "" if "Accept" in headers else _ACCEPT
    content = f"Content-Length: {length}\r\n" if length or method in ("POST", "PUT", "PATCH") else ""
    return (
        f"{method} {target.path + path or '/'} HTTP/1.1\r\nHost: {target.authority}\r\n"
        f"{accept}{_FIXED_HEADERS}{lines}{content}\r\n"
    ).encode("ascii")
