"""The connections of a listener, with the limits that aiohttp leaves to a proxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from aiohttp import web

from sipbridge import file_descriptors
from sipbridge.web.server.error_handling import (
    ResponseBroken,
    error_response,
    response_to_aiohttp_error,
    server_logger,
)
from sipbridge.web.server.security_headers import add_security_headers
from sipbridge.web.server.sources import source_of

MAX_CONNECTIONS = 512
HEAD_SECONDS = 10.0  # for a request's head, from its first byte or from the start of the connection
SEND_SECONDS = 30.0  # a peer that reads nothing of its response for this long is disconnected
KEEP_ALIVE_SECONDS = 75.0  # longer than proxies keep connections, so that the proxy closes first
LINGER_SECONDS = 2.0  # for the rest of a rejected body, so that the sender reads the response
_SWEEP_SECONDS = 1.0


class Connection(web.RequestHandler):
    """One connection. Deadlines apply to the head of a request and to a response that the peer does not read."""

    __slots__ = ("_began", "_connections", "_stuck_since", "source")

    def __init__(self, server: web.Server, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        # No access log: a valid pop link is a secret. No decompression: a small body may become a large one.
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to disable it
            logger=server_logger,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self._connections = connections
        self._began: float | None = loop.time()  # when the incomplete head began
        self._stuck_since: float | None = None
        self.source = ""  # the address that it counts against

    @property
    def is_idle(self) -> bool:
        """True if closing it loses no work: no request is being served, or the peer does not read the response."""
        return not (self._request_in_progress or self._messages) or self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """True while the peer reads nothing of its response."""
        return self._stuck_since is not None

    @property
    def has_reserved_descriptor(self) -> bool:
        """True if its file descriptor is one of those reserved for calls in progress."""
        socket = self.transport.get_extra_info("socket") if self.transport is not None else None
        return socket is not None and file_descriptors.is_reserved(socket.fileno())

    def is_overdue(self, now: float) -> bool:
        """True if the peer has exceeded the time for its head or for reading."""
        return (self._began is not None and now > self._began + HEAD_SECONDS) or (
            self._stuck_since is not None and now > self._stuck_since + SEND_SECONDS
        )

    def abort(self) -> None:
        """Close at once. An orderly close would wait until the peer has read the rest."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve it, or close it if there are too many connections."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.source = source_of(peer[0] if peer else None)
        if not self._connections.admit(self):
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release its slot."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and time the head of a request."""
        if self._began is None and not self._request_in_progress:
            self._began = self._loop.time()
        super().data_received(data)
        if self._messages:
            self._began = None
            self._connections.mark_recently_used(self)

    def pause_writing(self) -> None:
        """Record that the peer does not read."""
        super().pause_writing()
        self._stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        """Record that the peer reads again."""
        super().resume_writing()
        self._stuck_since = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; an error that aiohttp raised before any middleware, such as 417, becomes JSON first."""
        response = response_to_aiohttp_error(resp) if isinstance(resp, web.HTTPException) else resp
        return await super().finish_response(request, response, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Make the JSON error for bytes that are not valid HTTP. aiohttp's own response quotes them and its version.

        Raises `ResponseBroken`, which is logged already; aiohttp closes the connection then.
        """
        if isinstance(exc, ResponseBroken):
            raise exc
        super().handle_error(request, status, exc, message)
        if message:
            response = error_response(status, "invalid_request", "this is not a valid HTTP request")
        else:
            response = error_response(status, "internal_error", "this service failed")
        add_security_headers(response.headers)
        response.force_close()
        return response


class Connections:
    """The connections of one listener, and its protocol factory. Belongs to one event loop.

    There are at most `MAX_CONNECTIONS`, besides those of `streams`, whose number chats limit (`slots`). For one more,
    the connection that has been idle longest is closed, first among those of the source that has the most, so that one
    source cannot displace another's. If none is idle, the new connection is closed; requests with keys cannot use all
    of them (`slots`). A new connection is also closed if its file descriptor is reserved for calls: an idle one closes
    with it, and its descriptor is free for the next.
    """

    def __init__(self, server: web.Server, streams: Callable[[], int] = lambda: 0) -> None:
        self._server = server
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        # Least recently used first.
        self._open: dict[Connection, None] = {}
        self._per_source: Counter[str] = Counter()
        self._sweep_timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self._server, self, self._loop)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Add a connection; return False if it must be closed instead."""
        reserved = connection.has_reserved_descriptor
        if reserved or len(self._open) - self._streams() >= MAX_CONNECTIONS:
            idle = self._next_to_close()
            if idle is not None:
                self.remove(idle)
                idle.abort()
            if reserved or idle is None:
                return False
        self._open[connection] = None
        self._per_source[connection.source] += 1
        return True

    def _next_to_close(self) -> Connection | None:
        busiest = max(self._per_source, key=self._per_source.__getitem__, default="")
        of_busiest = (each for each in self._open if each.source == busiest and each.is_idle)
        return next(of_busiest, None) or next((each for each in self._open if each.is_idle), None)

    def mark_recently_used(self, connection: Connection) -> None:
        """Move it to the end of the closing order."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def remove(self, connection: Connection) -> None:
        """Release the slot of a connection. Idempotent."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._per_source[connection.source] -= 1
        if not self._per_source[connection.source]:
            del self._per_source[connection.source]

    def close(self) -> None:
        """Stop the sweep, and close connections whose peer does not read: they would delay the stop."""
        self._sweep_timer.cancel()
        for connection in [each for each in self._open if each.is_stuck]:
            connection.abort()

    def _sweep(self) -> None:
        for connection in list(self._overdue()):
            connection.abort()
        self._sweep_timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _overdue(self) -> Iterator[Connection]:
        now = self._loop.time()
        return (connection for connection in self._open if connection.is_overdue(now))
