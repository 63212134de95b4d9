"""One connection to CXone, which carries one request at a time, and the answers that come over it."""

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

from sipbridge.errors import CxoneError

MAX_BODY_BYTES = 64 * 1024
_MAX_BYTES = 3 * MAX_BODY_BYTES  # of an answer as it comes: head, body, and what chunks and 1xx add
_MAX_INTERIM_ANSWERS = 8
_DRAIN_SECONDS = 0.25
_KEPT_HEADERS = (b"content-type", b"keep-alive", b"retry-after")


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer: its status, its body as far as it was asked for, and the headers of use, names in lower case."""

    status: int
    headers: dict[bytes, str]
    body: bytes = b""

    @property
    def retry_after(self) -> float | None:
        """How long it asks to wait, in seconds."""
        return retry_after_seconds(self.headers.get(b"retry-after"))

    @property
    def is_html(self) -> bool:
        """Whether it is a page for people, as gateways and sign-in portals send."""
        return self.headers.get(b"content-type", "").lower().startswith(("text/html", "application/xhtml"))

    def json_object(self, source: str) -> dict[str, Any]:
        """The body as a JSON object. Raises `CxoneError` that names the source."""
        value = read_lenient_json(self.body)
        if not isinstance(value, dict):
            raise CxoneError(f"{source} answered something else than a JSON object")
        return value


def read_lenient_json(text: bytes) -> object:
    """Return what a text of JSON holds, None if it is not JSON.

    Lenient: a byte order mark may stand before it (RFC 8259, 8.1), and fields that are not read here may hold bytes
    that are not UTF-8, NaN or half a character. The standard library's parser accepts all of these.
    """
    try:
        return json.loads(text.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


class NoResponse(Exception):
    """The request went out and no answer came of it; the message says why in a word or two."""


class Connection(asyncio.Protocol):
    """An open connection (HTTP/1.1, RFC 9112). `ended` is called with it each time that it may be free for the next.

    Whatever comes is limited: an answer over the limits, one that is not HTTP, or a byte that nobody asked for ends the
    connection. Bodies are taken as they are: one that is compressed against our wish is not blown up.
    """

    def __init__(self, ended: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin(with_body=False)

    @property
    def is_free(self) -> bool:
        """Whether it is open, and nothing is under way on it."""
        return self._transport is not None and self._parser is None and not self._transport.is_closing()

    async def exchange(self, request: bytes, deadline: float, *, with_body: bool) -> Response:
        """Send a request and return its answer, at its head unless the body is wanted. Raises `NoResponse`.

        `deadline` is of the loop's clock. A body that is not wanted is read after that, so that the connection can be
        used again; where that takes over 64 KB or a quarter second, it is closed instead.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = self._loop.create_future()
        self._begin(with_body=with_body)
        self._set_timer(self._loop.call_at(deadline, self._fail, "TimeoutError"))
        cast("asyncio.Transport", self._transport).write(request)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def linger(self, seconds: float) -> None:
        """Close it if it is not used within so many seconds, or as many as CXone said it keeps it."""
        told = re.search(r"timeout=([0-9]{1,4})", self._headers.get(b"keep-alive", ""))
        if told:  # a second early: a request into a connection that is being closed could not be sent again
            seconds = min(seconds, int(told[1]) - 1.0)
        self._set_timer(self._loop.call_later(max(seconds, 0.0), self.abort))

    def abort(self) -> None:
        """Close it at once."""
        self._set_timer(None)
        if self._transport is not None:
            self._transport.abort()

    def _begin(self, *, with_body: bool) -> None:
        self._with_body = with_body
        self._status = self._received = self._interim = 0
        self._headers: dict[bytes, str] = {}
        self._body = bytearray()
        self._is_framed = self._is_complete = self._is_kept = False

    def _set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(NoResponse(why))
        self.abort()

    def _give(self, body: bytes = b"") -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Response(self._status, self._headers, body))

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, which is also how an answer without a length ends (RFC 9112, section 6.3, point 8)."""
        self._transport = None
        if self._status and not self._is_framed and exc is None:
            self._give(bytes(self._body))
        self._fail(type(exc).__name__ if exc else "connection closed")
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        """Take some bytes of an answer."""
        if self._parser is None:
            self.abort()  # nobody asked for it
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("no HTTP that can be used")
            return
        if self._received > _MAX_BYTES:
            self._fail(f"over {_MAX_BYTES} bytes")
        elif self._is_complete:
            self._complete()

    def _complete(self) -> None:
        self._give(bytes(self._body))
        self._parser = None
        if self._is_kept:
            self._set_timer(None)
            self._ended(self)
        else:
            self.abort()

    # ------------------------------------------------------------ called by the parser; what they raise ends its work

    def on_message_begin(self) -> None:
        """Refuse an answer behind the answer."""
        if self._is_complete:
            raise ValueError("more than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what is of use."""
        name = name.lower()
        if name in _KEPT_HEADERS:
            self._headers[name] = value.decode("latin-1").strip()
        elif name in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """Tell of the answer, unless it is an interim one (1xx) or its body is wanted, too."""
        parser = cast("httptools.HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if status < 200:  # noqa: PLR2004 (RFC 9110, section 15.2)
            self._interim += 1
            if self._interim > _MAX_INTERIM_ANSWERS:
                raise ValueError("too many interim answers")
            self._headers.clear()
            return
        self._status = status
        if not self._with_body:
            self._give()
            self._set_timer(self._loop.call_later(_DRAIN_SECONDS, self.abort))

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body, where it is wanted."""
        if len(self._body) + len(part) > MAX_BODY_BYTES:
            raise ValueError("too long")
        self._body += part

    def on_message_complete(self) -> None:
        """Note the end of the answer. Only here the parser still knows whether the connection is kept."""
        if self._status:
            self._is_complete = True
            self._is_kept = cast("httptools.HttpResponseParser", self._parser).should_keep_alive()


def retry_after_seconds(value: str | None) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). None where it says nothing usable."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    with suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000": UTC that does not say so (RFC 5322, section 3.3)
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    return None
