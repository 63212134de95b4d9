"""One connection to a server, which carries one request at a time, and its responses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httptools

from sipbridge.errors import HttpError
from sipbridge.http.node_headers import NODE

MAX_BODY_BYTES = 64 * 1024
_WIRE_FACTOR = 3  # bytes on the wire per byte of a body: head, chunk framing and 1xx
_MAX_INTERIM_RESPONSES = 8
_DRAIN_SECONDS = 0.25
_KEPT_HEADERS = (b"content-type", b"keep-alive", b"retry-after", NODE.lower().encode())


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response: status, the headers that are used (names in lower case), and the body if it was requested."""

    status: int
    headers: dict[bytes, str]
    body: bytes = b""

    @property
    def retry_after(self) -> float | None:
        """The pause that it asks for, in seconds."""
        return retry_after_seconds(self.headers.get(b"retry-after"))

    @property
    def is_html(self) -> bool:
        """True if it is an HTML page, which gateways and sign-in portals send."""
        return self.headers.get(b"content-type", "").lower().startswith(("text/html", "application/xhtml"))

    def json_object(self, source: str) -> dict[str, Any]:
        """Return the body as a JSON object. Raises `HttpError`, which names the source."""
        value = read_lenient_json(self.body)
        if not isinstance(value, dict):
            raise HttpError(f"the response of {source} is not a JSON object")
        return value


def read_lenient_json(text: bytes) -> object:
    """Parse JSON leniently; return None if the text is not JSON.

    A byte order mark may precede it (RFC 8259, 8.1), and unused fields may contain bytes that are not UTF-8, NaN or a
    lone surrogate. The standard library's parser accepts all of these.
    """
    try:
        return json.loads(text.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


class NoResponse(Exception):
    """The request was sent and got no response. The message says why in a few words."""


class BodyTooLarge(NoResponse):
    """The body of the response is over the limit."""


class Connection(asyncio.Protocol):
    """An open connection (HTTP/1.1, RFC 9112). `on_released` gets it whenever it may be free for the next request.

    A response over the limits, one that is not HTTP, or an unsolicited byte closes the connection. Bodies are not
    decompressed, even if the server compresses one unasked.
    """

    def __init__(self, on_released: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_released = on_released
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: tuple[float, Callable[[], None]] | None = None
        self._reset(None)

    @property
    def is_free(self) -> bool:
        """True if it is open and no request is in progress on it."""
        return self._transport is not None and self._parser is None and not self._transport.is_closing()

    async def exchange(self, request: bytes, deadline: float, max_bytes: int | None) -> Response:
        """Send a request and return its response with its body; without `max_bytes`, as soon as its head is complete.

        Raises `NoResponse`. `deadline` is a time of the loop. A body that was not requested is read afterwards, so that
        the connection can be reused. If that exceeds 64 KB or a quarter second, the connection is closed instead.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = self._loop.create_future()
        self._reset(max_bytes)
        self._call_at(deadline, self._time_out)
        cast("asyncio.Transport", self._transport).write(request)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def linger(self, seconds: float) -> None:
        """Close it if it is not used within that time, or within the time of the server's Keep-Alive header."""
        announced = self._headers.get(b"keep-alive")
        keep_alive = re.search(r"timeout=([0-9]{1,4})", announced) if announced else None
        if keep_alive:  # a second earlier: a request on a connection that is being closed could not be repeated
            seconds = min(seconds, int(keep_alive[1]) - 1.0)
        self._call_at(self._loop.time() + max(seconds, 0.0), self.abort)

    def abort(self) -> None:
        """Close it at once."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def _reset(self, max_bytes: int | None) -> None:
        self._with_body = max_bytes is not None
        self._max_body = MAX_BODY_BYTES if max_bytes is None else max_bytes
        self._max_wire = _WIRE_FACTOR * max(self._max_body, MAX_BODY_BYTES)
        self._status = self._received = self._interim = 0
        self._headers: dict[bytes, str] = {}
        self._body = bytearray()
        self._is_framed = self._is_complete = self._is_kept = self._is_draining = False

    def _call_at(self, when: float, action: Callable[[], None]) -> None:
        """Take the action then, instead of the one that was due. A timer that runs earlier stays, and looks again."""
        self._due = when, action
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        when, action = self._due
        if self._loop.time() < when:
            self._timer = self._loop.call_at(when, self._look)
        else:
            self._due = None
            action()

    def _time_out(self) -> None:
        self._fail(NoResponse("TimeoutError"))

    def _fail(self, why: NoResponse) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(why)
        self.abort()

    def _deliver(self, body: bytes = b"") -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Response(self._status, self._headers, body))

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End. The close also ends a response without a length (RFC 9112, section 6.3, point 8)."""
        self._transport = None
        if self._status and not self._is_framed and exc is None:
            self._deliver(bytes(self._body))
        self._fail(NoResponse(type(exc).__name__ if exc else "connection closed"))
        self._on_released(self)

    def data_received(self, data: bytes) -> None:
        """Parse some bytes of a response."""
        if self._parser is None:
            self.abort()  # unsolicited
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            too_large = len(self._body) > self._max_body
            self._fail(
                BodyTooLarge(f"a body over {self._max_body} bytes") if too_large else NoResponse("not valid HTTP")
            )
            return
        if self._received > self._max_wire:
            self._fail(NoResponse(f"more than {self._max_wire} bytes"))
        elif self._is_complete:
            self._complete()
        elif self._status and not self._with_body and not self._is_draining:
            self._is_draining = True
            self._call_at(self._loop.time() + _DRAIN_SECONDS, self.abort)

    def _complete(self) -> None:
        self._deliver(bytes(self._body))
        self._parser = None
        if self._is_kept:
            self._due = None
            self._on_released(self)
        else:
            self.abort()

    # ------------------------------------------------------------ called by the parser; an exception stops it

    def on_message_begin(self) -> None:
        """Reject a second response to one request."""
        if self._is_complete:
            raise ValueError("second response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that are used."""
        name = name.lower()
        if name in _KEPT_HEADERS:
            self._headers[name] = value.decode("latin-1").strip()
        elif name in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """Deliver the response, unless it is an interim one (1xx) or its body was requested."""
        parser = cast("httptools.HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if status < 200:  # noqa: PLR2004 (RFC 9110, section 15.2)
            self._interim += 1
            if self._interim > _MAX_INTERIM_RESPONSES:
                raise ValueError("too many interim responses")
            self._headers.clear()
            return
        self._status = status
        if not self._with_body:
            self._deliver()

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._body += part
        if len(self._body) > self._max_body:
            raise ValueError("body too long")

    def on_message_complete(self) -> None:
        """Record the end of the response. Only here does the parser know if the connection is kept open."""
        if self._status:
            self._is_complete = True
            self._is_kept = cast("httptools.HttpResponseParser", self._parser).should_keep_alive()


def retry_after_seconds(value: str | None) -> float | None:
    """Parse `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). Return None if it is not valid."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    with suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000" means UTC (RFC 5322, section 3.3)
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    return None
