"""The socket to the agent: frames in and out, its keep-alive, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from sipbridge.agents.websocket.budget import Budget

Payload = bytes | bytearray

# RFC 6455, 7.4.1 and 7.1.5
CLOSED_WELL = 1000
CLOSED_WITHOUT_CODE = 1005
LOST = 1006

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
PING_SECONDS = 10.0  # between two pings, and for the pong of the first
LINGER_SECONDS = 1.0  # for the agent's half of the closing handshake
# An agent that stops reading is noticed when about a second of audio waits in the kernel and another one here.
SEND_BUFFER_BYTES = 16 * 1024
RECEIVE_BUFFER_BYTES = 64 * 1024  # what waits in the kernel while reading is paused
HIGH_WATER_BYTES = 16 * 1024
DRAIN_SECONDS = 5.0  # for it to read on
MAX_UNSENT_BYTES = 512 * 1024  # answers to one that sends, and does not read

# Looked up once: a member of its enumerations costs half a microsecond.
_TEXT, _PING, _PONG, _CLOSE = WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE

# picows tells of addresses and payloads in its logs; what matters of it is a fault or a close code here.
picows_logger = logging.getLogger(f"{__name__}.picows")
picows_logger.setLevel(logging.CRITICAL + 1)


class Link(WSListener):
    """One WebSocket with the agent. `ended` gives the close code (RFC 6455, 7.4), `LOST` where none came.

    `congested` is true while the agent does not read what is sent to it.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.congested = False
        # Known once it has ended.
        self.lasted_seconds = 0.0
        self._opened_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._given_up = False
        self._receive: Callable[[Payload], None] = _ignore_message
        self._drop: Callable[[Payload, str, str], None] = _ignore_dropped
        self._note_fault: Callable[[str, str], None] = _ignore_fault
        self._budget: Budget | None = None
        self._fragments: bytearray | None = None
        self._fragments_are_text = False
        self._pong_due = False
        self._owed_pong: bytes | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    def listen(
        self,
        receive: Callable[[Payload], None],
        drop: Callable[[Payload, str, str], None],
        note_fault: Callable[[str, str], None],
    ) -> None:
        """Have text messages received, others dropped with their fault, and faults noted; what came before is lost."""
        self._receive = receive
        self._drop = drop
        self._note_fault = note_fault

    def send(self, message: bytes) -> None:
        """Send a text message; one for a socket that is closed is lost."""
        if self._transport is None:
            return
        self._transport.send(_TEXT, message)
        if self.congested and self._transport.underlying_transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._abort()

    def fail(self, error: Exception) -> None:
        """Have whoever waits for the end get this error; the socket stays as it is."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def close(self) -> None:
        """Close well, without waiting for it: the socket is gone within a second. More than once does no harm."""
        self._receive = _ignore_message
        self._drop = _ignore_dropped
        self._note_fault = _ignore_fault
        self._cancel_timers()
        self._given_up = True
        transport = self._transport
        if transport is None or transport.is_disconnected or self._linger_timer is not None:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        # Not closed at once: the kernel answers what the agent still sends with a reset, and our last words are lost.
        self._linger_timer = self._loop.call_later(LINGER_SECONDS, transport.disconnect, False)  # noqa: FBT003 (positional for call_later)

    # ------------------------------------------------------------ what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport
        self._opened_at = self._loop.time()
        underlying = transport.underlying_transport
        own = underlying.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        underlying.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._budget = Budget(underlying, self._note_flood, self._has_refused)
        self._ping_timer = self._loop.call_later(PING_SECONDS, self._ping)
        if self._given_up:
            self.close()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame came."""
        kind = frame.msg_type
        try:
            if kind is _CLOSE:
                self._answer_close(transport, frame)
            elif transport.is_close_frame_sent:
                return  # picows goes on to deliver what it has refused
            elif frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._refuse(WSCloseCode.PROTOCOL_ERROR)  # compressed, say: nothing was agreed on (RFC 6455, 5.2)
            elif kind is _TEXT and frame.fin and self._fragments is None:
                self._receive(frame.get_payload_as_bytes())
            elif kind is _PONG:
                self._pong_due = False
            elif kind is _PING:
                self._answer_ping(transport, frame)
            else:
                self._assemble(kind, frame)
        except Exception as error:  # noqa: BLE001 (goes to whoever waits for the end; picows would only log it)
            self.fail(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone: closed by the agent or by us, lost, or given up by picows for a fault of the agent's."""
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        if self._close_code_sent() not in (None, WSCloseCode.OK):
            self._looking = self._loop.create_task(_look_at_failure(transport))
        self._end(LOST)

    def pause_writing(self) -> None:
        """More waits to be sent than should."""
        self.congested = True
        self._note_fault("not_reading", "the agent does not read; what the caller says is left out")
        self._drain_timer = self._loop.call_later(DRAIN_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """The agent has read on."""
        self.congested = False
        if self._owed_pong is not None and self._transport is not None:
            pong, self._owed_pong = self._owed_pong, None
            self._transport.send_pong(pong)
        if self._drain_timer is not None:
            self._drain_timer.cancel()

    # ------------------------------------------------------------ inside

    def _assemble(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Put a fragmented message together (RFC 6455, 5.4); a lone binary one comes here too."""
        if (kind is WSMsgType.CONTINUATION) != (self._fragments is not None):
            self._refuse(WSCloseCode.PROTOCOL_ERROR)
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._fragments_are_text = kind is _TEXT
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > MAX_MESSAGE_BYTES:
            self._refuse(WSCloseCode.MESSAGE_TOO_BIG)
        elif frame.fin:
            message, self._fragments = self._fragments, None
            if self._fragments_are_text:
                self._receive(message)
            else:
                self._drop(message, "bad_message", "the message is binary")

    def _answer_ping(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send a pong. For an agent that does not read they would pile up: it gets the last one, once it reads on."""
        payload = frame.get_payload_as_bytes()
        if self.congested:
            self._owed_pong = payload  # RFC 6455, 5.5.3: the latest ping may be answered alone
        else:
            transport.send_pong(payload)

    def _answer_close(self, transport: WSTransport, frame: WSFrame) -> None:
        code = frame.get_close_code()
        self._end(CLOSED_WITHOUT_CODE if code is WSCloseCode.NO_INFO else code.value)
        transport.send_close(WSCloseCode.OK if code is WSCloseCode.NO_INFO else code)
        transport.disconnect()

    def _refuse(self, code: WSCloseCode) -> None:
        """Close because of what the agent sent."""
        if self._transport is not None:
            self._transport.send_close(code)
        self._fragments = None
        self._end(code.value)

    def _ping(self) -> None:
        if self._transport is None:
            return
        if self._pong_due and not (self._budget and self._budget.is_over):
            self._abort()
            return
        self._pong_due = True
        self._transport.send_ping()
        self._ping_timer = self._loop.call_later(PING_SECONDS, self._ping)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        self._end(LOST)

    def _end(self, code: int) -> None:
        self._cancel_timers()
        self._receive = _ignore_message
        self._drop = _ignore_dropped
        if self.ended.done():
            return
        if self._close_code_sent() is WSCloseCode.MESSAGE_TOO_BIG:
            self._note_fault("too_long", f"a message is over {MAX_MESSAGE_BYTES} bytes")
        self.lasted_seconds = self._loop.time() - self._opened_at
        self.ended.set_result(code)

    def _has_refused(self) -> bool:
        """True if the socket was closed for what the agent sent: picows would keep all that comes after it."""
        return bool(self._transport and self._transport.is_close_frame_sent) and self._close_code_sent() not in (
            None,
            WSCloseCode.OK,
        )

    def _note_flood(self) -> None:
        self._note_fault("flooding", "it sends more than is read; the rest waits in TCP")

    def _close_code_sent(self) -> WSCloseCode | None:
        handshake = self._transport.close_handshake if self._transport else None
        return handshake.sent.code if handshake and handshake.sent else None

    def _cancel_timers(self) -> None:
        for timer in (self._ping_timer, self._drain_timer):
            if timer is not None:
                timer.cancel()


def _ignore_message(_payload: Payload) -> None:
    """Before the stream has begun, and after its end, the agent has nothing to say."""


def _ignore_dropped(_payload: Payload, _fault: str, _message: str) -> None:
    """The same of what is no text."""


def _ignore_fault(_fault: str, _message: str) -> None:
    """The same of its faults."""


async def _look_at_failure(transport: WSTransport) -> None:
    """Take the error for which picows has closed: else the loop reports it as one that nobody looked at."""
    with suppress(Exception):
        await transport.wait_disconnected()
