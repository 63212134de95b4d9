"""The connections of a listener, held to limits that aiohttp leaves to a proxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from aiohttp import web

from sipbridge import file_descriptors
from sipbridge.web.server.error_handling import error_response, of_aiohttp, server_logger
from sipbridge.web.server.security_headers import add_security_headers
from sipbridge.web.server.sources import source_of

MAX_CONNECTIONS = 512
HEAD_SECONDS = 10.0  # for a request's head, from its first byte or from the connection
SEND_SECONDS = 30.0  # one that takes nothing of its answer for so long is let go
KEEP_ALIVE_SECONDS = 75.0  # longer than proxies keep theirs, so that they close first
LINGER_SECONDS = 2.0  # for the rest of a body that nobody wants, so that its sender reads why
_SWEEP_SECONDS = 1.0


class Connection(web.RequestHandler):
    """One connection. Its head has a deadline, and so has each byte of an answer that the far end does not take."""

    __slots__ = ("_began", "_connections", "_stuck_since", "source")

    def __init__(self, server: web.Server, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        # No access log: pop links are secrets while they last. Bodies stay as they came: a small one may unpack into
        # a large one.
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
            logger=server_logger,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self._connections = connections
        self._began: float | None = loop.time()  # when the head began that is not complete yet
        self._stuck_since: float | None = None
        self.source = ""  # whom it counts for

    @property
    def is_idle(self) -> bool:
        """Whether closing it loses no work: no request is being served, or its answer is not taken."""
        return not (self._request_in_progress or self._messages) or self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """Whether the far end takes nothing of its answer at the moment."""
        return self._stuck_since is not None

    @property
    def has_kept_descriptor(self) -> bool:
        """Whether it took one of those that are kept for calls that are up."""
        own = self.transport.get_extra_info("socket") if self.transport is not None else None
        return own is not None and file_descriptors.is_kept(own.fileno())

    def is_overdue(self, now: float) -> bool:
        """Whether the far end has had its time, for its head or for reading."""
        return (self._began is not None and now > self._began + HEAD_SECONDS) or (
            self._stuck_since is not None and now > self._stuck_since + SEND_SECONDS
        )

    def abort(self) -> None:
        """Close at once: what the far end has not taken yet would keep an orderly end waiting."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is a place."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.source = source_of(peer[0] if peer else None)
        if not self._connections.admit(self):
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and note where a head begins and where it is complete."""
        if self._began is None and not self._request_in_progress:
            self._began = self._loop.time()
        super().data_received(data)
        if self._messages:
            self._began = None
            self._connections.mark_recently_used(self)

    def pause_writing(self) -> None:
        """Note that the far end does not read."""
        super().pause_writing()
        self._stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        """Note that it does again."""
        super().resume_writing()
        self._stuck_since = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; an error that aiohttp raised before any middleware, such as 417, becomes JSON first."""
        response = of_aiohttp(resp) if isinstance(resp, web.HTTPException) else resp
        return await super().finish_response(request, response, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Schema what is no HTTP in the shape of all errors; aiohttp's own answer quotes it, and tells versions."""
        super().handle_error(request, status, exc, message)
        if message:
            answer = error_response(status, "invalid_request", "this is no HTTP request that can be read")
        else:
            answer = error_response(status, "internal_error", "this service failed")
        add_security_headers(answer.headers)
        answer.force_close()
        return answer


class Connections:
    """The connections of one listener, whose protocol factory this is. Belongs to one event loop.

    There are at most `MAX_CONNECTIONS`. For one more an idle one goes: the one that asked for nothing for the longest
    time, first of the source that has the most, so that a source with many takes none of another's. Where all are
    being served, the new one goes; requests with keys cannot be all (`slots`). One that has got a descriptor which is
    kept for calls goes as well, and the next finds a better one.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        # A dict for its order: who asked for something last stands last.
        self._open: dict[Connection, None] = {}
        self._shares: Counter[str] = Counter()  # of each source
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> Connection:
        """Make one."""
        return Connection(self._server, self, self._loop)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Give a place, or tell that there is none."""
        kept = connection.has_kept_descriptor
        if kept or len(self._open) >= MAX_CONNECTIONS:
            idle = self._most_dispensable()
            if idle is not None:
                self.forget(idle)
                idle.abort()
            if kept or idle is None:
                return False
        self._open[connection] = None
        self._shares[connection.source] += 1
        return True

    def _most_dispensable(self) -> Connection | None:
        most = max(self._shares, key=self._shares.__getitem__, default="")
        own = (other for other in self._open if other.source == most and other.is_idle)
        return next(own, None) or next((other for other in self._open if other.is_idle), None)

    def mark_recently_used(self, connection: Connection) -> None:
        """Put it last among those that may have to go."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def forget(self, connection: Connection) -> None:
        """Take its place back; once or more often."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._shares[connection.source] -= 1
        if not self._shares[connection.source]:
            del self._shares[connection.source]

    def close(self) -> None:
        """Watch no more. Those that take nothing of their answer go now: they would hold up the stop."""
        self._sweeping.cancel()
        for connection in [each for each in self._open if each.is_stuck]:
            connection.abort()

    def _sweep(self) -> None:
        for connection in list(self._overdue()):
            connection.abort()
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _overdue(self) -> Iterator[Connection]:
        now = self._loop.time()
        return (connection for connection in self._open if connection.is_overdue(now))
