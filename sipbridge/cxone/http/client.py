"""How CXone is spoken to over HTTP: one client for all tenants, with just what CXone needs and limits on the rest.

A client of its own, as the Signal is on the path of every handoff and what became of it must be told exactly:
`CxoneNotReached` says that no byte of the request went out, any other `CxoneError` that CXone may have it. With
aiohttp's a Signal took twice the processor time, and endless interim answers (1xx) held up the event loop for seconds.
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
from sipbridge.cxone.http.urls import Place, place_of
from sipbridge.dns import Resolver
from sipbridge.errors import CxoneError, CxoneNotReached, NameNotResolved

_CONNECTIONS_PER_PLACE = 500  # 400 Signals a second at CXone's slowest usual second each, and some
# Before usual load balancers (60 s): a request into a connection that is being closed could not be sent again.
_IDLE_SECONDS = 15.0
# Without Accept CXone's answer can be "No known way to render data". No compression: no small answer grows large.
_FIXED_HEADERS = f"Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: sipbridge/{__version__}\r\n"


class Announcement(NamedTuple):
    """What is awaited around the first byte of a request.

    `sending` when there is a connection and the byte is about to go out, `not_sent` if the connection has closed
    meanwhile and another is to be opened.
    """

    sending: Callable[[], Awaitable[None]]
    not_sent: Callable[[], Awaitable[None]]


class _Pool:
    """The connections to one place."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(_CONNECTIONS_PER_PLACE)
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()

    def connection(self) -> Connection:
        """Make one that is about to be opened."""
        return Connection(self._ended)

    def opened(self, connection: Connection) -> None:
        """Know of it until it ends; one whose TLS handshake fails never ends."""
        if connection.is_free:
            self._open.add(connection)

    def take(self) -> Connection | None:
        """The connection used last, so that those too many grow old."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_free:
                return connection
        return None

    def close(self) -> None:
        """Close all of them."""
        for connection in list(self._open):
            connection.abort()

    def _ended(self, connection: Connection) -> None:
        if connection.is_free:
            connection.linger(_IDLE_SECONDS)
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)
            self._open.discard(connection)


class HttpClient:
    """HTTP/1.1 (CXone's `/auth/token` has failed over HTTP/2), certificates checked. Needs a running loop.

    No cookies, so that nothing passes from one tenant to another; no redirects, no proxies, nothing of the environment.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context()
        self._resolver = resolver
        self._pools: defaultdict[tuple[str, int, bool], _Pool] = defaultdict(_Pool)

    async def get(self, url: str, seconds: float) -> Response:
        """Ask for something that is small. Raises `CxoneError`."""
        return await self._send("GET", place_of(url), "", {}, b"", seconds, with_body=True)

    async def post_form(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str], seconds: float
    ) -> Response:
        """Send a form, and return the answer with its body. Raises `CxoneError`."""
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", place_of(url), "", headers, urlencode(form).encode(), seconds, with_body=True)

    async def post(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        announcement: Announcement | None = None,
    ) -> Response:
        """Send something to the URL that base and path make together, and return the answer's head.

        Raises `CxoneNotReached` where nothing was sent, and `CxoneError` where no answer came.
        """
        return await self._send("POST", place_of(base), path, headers, body, seconds, announcement, with_body=False)

    async def close(self) -> None:
        """Close all connections, and what is under way on them."""
        for pool in self._pools.values():
            pool.close()
        await asyncio.sleep(0)  # the turn of the loop in which their sockets are closed

    async def _send(
        self,
        method: str,
        place: Place,
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
            f"{method} {place.path + path or '/'} HTTP/1.1\r\nHost: {place.authority}\r\n"
            f"{_FIXED_HEADERS}{lines}{length}\r\n"
        )
        deadline = self._loop.time() + seconds
        pool = self._pools[place.host, place.port, place.tls]
        await self._turn(place, pool, deadline - seconds / 2)
        try:
            connection = pool.take() or await self._connect(place, pool, deadline - seconds / 2)
            if announcement is not None:
                connection = await self._announced(connection, announcement, place, pool, deadline)
            return await connection.exchange(head.encode("ascii") + body, deadline, with_body=with_body)
        except NoResponse as error:
            raise CxoneError(f"{place.host} gave no answer ({error})") from error
        finally:
            pool.turns.release()

    async def _announced(
        self,
        connection: Connection,
        announcement: Announcement,
        place: Place,
        pool: _Pool,
        deadline: float,
    ) -> Connection:
        """Announce the request, and return a connection that is still open after that. Raises `CxoneNotReached`."""
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
            connection = await self._connect(place, pool, latest)

    async def _turn(self, place: Place, pool: _Pool, deadline: float) -> None:
        if not pool.turns.locked():  # as nearly always: spares a timer
            await pool.turns.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await pool.turns.acquire()
        except TimeoutError as error:
            raise CxoneNotReached(f"no connection to {authority(place.host, place.port)} is free") from error

    async def _connect(self, place: Place, pool: _Pool, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                socket = await self._resolver.connect(place.host, place.port)
                _, connection = await self._loop.create_connection(
                    pool.connection,
                    sock=socket,
                    ssl=self._tls if place.tls else None,
                    server_hostname=place.host if place.tls else None,
                )
        except NameNotResolved as error:
            raise CxoneNotReached(str(error)) from error
        except OSError as error:  # ssl.SSLError and TimeoutError are some
            why = explain_connection_error(error)
            raise CxoneNotReached(f"no connection to {authority(place.host, place.port)}: {why}") from error
        pool.opened(connection)
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
