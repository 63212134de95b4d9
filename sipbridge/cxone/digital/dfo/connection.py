"""One WebSocket connection to the chat gateway: requests and their replies, pushes, and the heartbeat (RFC 6455)."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
from collections.abc import Callable
from functools import partial
from traceback import clear_frames

from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)

from sipbridge import file_descriptors
from sipbridge.connection_errors import explain_connection_error
from sipbridge.cxone.digital.dfo.frames import HEARTBEAT, BadFrame, ErrorReply, Frame, Pong, Push, Reply, read_frame
from sipbridge.cxone.digital.dfo.reading import Reading
from sipbridge.dns import Resolver
from sipbridge.errors import NameNotResolved, SipbridgeError
from sipbridge.http import system_tls

HEARTBEAT_SECONDS = 15.0  # as NICE's web SDK
SILENCE_SECONDS = 45.0  # then the connection is dead
CONNECT_SECONDS = 10.0
# Frames of the gateway are under 128 KB; a message with a large body comes as EventInS3.
MAX_FRAME_BYTES = 1024 * 1024
READ_BUFFER_BYTES = 4096  # to begin with: most frames are shorter, and each held chat has one

_TEXT, _CLOSE, _CONTINUATION = WSMsgType.TEXT, WSMsgType.CLOSE, WSMsgType.CONTINUATION

picows_logger = logging.getLogger(f"{__name__}.picows")
picows_logger.setLevel(logging.CRITICAL + 1)


class GatewayLost(SipbridgeError):
    """The connection ended, could not be opened, or did not bring a reply in time. The message says why."""


class GatewayError(SipbridgeError):
    """The gateway replied with an error. `code` is its own word."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the chat gateway replied {code}")
        self.code = code


class Connection(WSListener):
    """A connection. `ended` is done when it has ended.

    `on_push` gets each push in its order, `on_fault` a short word and a text for each frame that cannot be read.
    `may_send` is asked right before each frame.
    """

    def __init__(
        self,
        on_push: Callable[[Push], None],
        on_fault: Callable[[str, str], None],
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._on_push = on_push
        self._on_fault = on_fault
        self._may_send = may_send
        self._transport: WSTransport | None = None
        self._requests: dict[str, asyncio.Future[Reply]] = {}
        self._fragments: bytearray | None = None
        self._heard_at = self._loop.time()
        self._reading = Reading(partial(on_fault, "flooding", "the chat gateway floods; reading is slowed down"))
        self._timer: asyncio.TimerHandle | None = None

    async def request(self, made: tuple[str, bytes], seconds: float) -> Reply:
        """Send a frame and return its reply. Raises `GatewayError`, or `GatewayLost` if there is none in time."""
        event_id, frame = made
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._requests[event_id] = reply
        timer = self._loop.call_later(seconds, _fail, reply, "no reply in time")  # cheaper than `asyncio.timeout`
        try:
            self.send(frame)
            return await reply
        finally:
            timer.cancel()
            del self._requests[event_id], reply  # else its error refers to this frame, and the frame to the error

    def deliver(self, frame: Frame) -> None:
        """Give a reply or an error to the request that it is for. Others are faults, and pushes are passed on."""
        match frame:
            case Push():
                self._on_push(frame)
            case Reply(event_id):
                request = self._requests.get(event_id)
                if request is not None and not request.done():
                    request.set_result(frame)
            case ErrorReply(event_id, code):
                request = self._requests.get(event_id)
                if request is not None and not request.done():
                    request.set_exception(GatewayError(code))
                else:
                    self._on_fault("gateway_error", f"the chat gateway reported {code}"[:200])
            case Pong():
                pass

    def send(self, frame: bytes) -> None:
        """Send a frame whose reply does not matter. Raises `GatewayLost` if the connection has ended."""
        if self._transport is None or self.ended.done():
            raise GatewayLost("the connection has ended")
        if self._may_send is not None and not self._may_send():
            raise GatewayLost("another node may have the chat")
        self._transport.send(_TEXT, frame)

    def pause(self, *, on: bool) -> None:
        """Read nothing while `on`."""
        self._heard_at = self._loop.time()
        self._reading.hold(on=on)

    def close(self) -> None:
        """Close the connection. May be called more than once."""
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        self._end()

    # ------------------------------------------------------------ what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin the heartbeat."""
        self._transport = transport
        if self.ended.done():
            transport.disconnect()
            return
        self._heard_at = self._loop.time()
        self._reading.start(transport.underlying_transport)
        self._schedule_beat()

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        """Handle a frame, or a part of one: the gateway may send long messages in several (RFC 6455, 5.4)."""
        self._heard_at = now = self._loop.time()
        self._reading.count(frame.payload_size, now)
        kind = frame.msg_type
        if kind is _CLOSE:
            self.close()
        elif kind is _TEXT and frame.fin:
            self._receive(frame.get_payload_as_bytes())
        elif kind is _TEXT or kind is _CONTINUATION:
            self._assemble(frame)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """End."""
        self._end()

    # ------------------------------------------------------------ inside

    def _assemble(self, frame: WSFrame) -> None:
        if self._fragments is None:
            self._fragments = bytearray()
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > MAX_FRAME_BYTES:
            self._on_fault("frame_too_large", "a frame of the chat gateway is too large")
            self.close()
        elif frame.fin:
            whole, self._fragments = self._fragments, None
            self._receive(whole)

    def _receive(self, payload: bytes | bytearray) -> None:
        try:
            frame = read_frame(payload)
        except BadFrame as error:
            self._on_fault("bad_frame", str(error))
        else:
            self.deliver(frame)

    def _beat(self) -> None:
        if self._loop.time() - self._heard_at > SILENCE_SECONDS and not self._reading.is_paused:
            self._on_fault("silent", "the chat gateway has been silent; connecting again")
            self.close()
        elif self._transport is not None:
            self._transport.send(_TEXT, HEARTBEAT)
            self._schedule_beat()

    def _schedule_beat(self) -> None:
        """Beat at a whole second: the beats of many chats in one turn of the loop cost half."""
        self._timer = self._loop.call_at(math.floor(self._loop.time() + HEARTBEAT_SECONDS), self._beat)

    def _end(self) -> None:
        self._reading.stop()
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        for request in self._requests.values():
            _fail(request, "the connection was lost")


def _fail(request: asyncio.Future[Reply], why: str) -> None:
    if not request.done():
        request.set_exception(GatewayLost(why))


class Opener:
    """Opens connections to the gateway at a URL. `may_send` is that of each of them."""

    def __init__(self, url: str, resolver: Resolver, may_send: Callable[[], bool] | None = None) -> None:
        self.may_send = may_send
        self._url = url
        self._resolver = resolver

    async def open(self, query: str, connection: Connection) -> None:
        """Open a connection with this query. Raises `GatewayLost`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, upgraded = await ws_connect(
                    lambda *_: connection,
                    f"{self._url}?{query}",
                    ssl_context=system_tls(),
                    websocket_handshake_timeout=CONNECT_SECONDS,
                    max_frame_size=MAX_FRAME_BYTES,
                    read_buffer_init_size=READ_BUFFER_BYTES,
                    enable_auto_ping=False,
                    auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                    max_redirects=0,
                    socket_factory=self._connect,
                    logger_name=picows_logger,
                )
        except (NameNotResolved, OSError, WSError, ValueError) as error:
            connection.close()
            # The frames of the library refer to its error, the error to the frames, and both to the TLS context.
            clear_frames(error.__traceback__)
            raise GatewayLost(_explain(error)) from None
        except BaseException:
            connection.close()
            raise
        if upgraded is not connection:
            raise GatewayLost("it closed the connection before the upgrade")

    async def _connect(self, url: WSParsedURL) -> socket.socket:
        connected = await self._resolver.connect(url.host, url.port)
        if file_descriptors.is_reserved(connected.fileno()):
            connected.close()
            raise OSError(errno.EMFILE, "the free file descriptors are reserved for calls")
        return connected


def _explain(error: Exception) -> str:
    """Return the reason in our own words: those of the library may quote what the gateway sent."""
    match error:
        case TimeoutError():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case NameNotResolved():
            return "its name was not found"
        case OSError():
            return explain_connection_error(error)
        case _:
            return "its response is not a WebSocket upgrade"
