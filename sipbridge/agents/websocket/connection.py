"""The WebSocket connection to the agent: frames, keep-alive and the close handshake (RFC 6455)."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from sipbridge.agents.websocket.budget import Budget
from sipbridge.agents.websocket.passage import Connect, Passage
from sipbridge.agents.websocket.receiver import IGNORE, Receiver
from sipbridge.calls.ports.sip import AgentSocket

# RFC 6455, 7.4.1 and 7.1.5
CLOSED_WELL = 1000
CLOSED_WITHOUT_CODE = 1005
LOST = 1006

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
PING_SECONDS = 10.0  # between two pings, and for the pong of the first one
LINGER_SECONDS = 1.0  # for the agent's part of the close handshake
# An agent that stops reading is noticed once about a second of audio is queued in the kernel and another one here.
SEND_BUFFER_BYTES = 16 * 1024
RECEIVE_BUFFER_BYTES = 64 * 1024  # queued in the kernel while reading is paused
HIGH_WATER_BYTES = 16 * 1024
READ_BUFFER_BYTES = 4096  # at first; messages of 20 ms have some 300 bytes, and it grows with longer ones
DRAIN_SECONDS = 5.0  # for the agent to resume reading
MAX_UNSENT_BYTES = 512 * 1024  # responses to an agent that sends but does not read

# Looked up once: access to a member of these enumerations takes half a microsecond.
_TEXT, _PING, _PONG, _CLOSE = WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE

# picows logs addresses and payloads. What matters of them is reported here as a fault or a close code.
picows_logger = logging.getLogger(f"{__name__}.picows")
picows_logger.setLevel(logging.CRITICAL + 1)


class Connection(WSListener):
    """One WebSocket connection to the agent. `ended` is its close code (RFC 6455, 7.4), `LOST` if none was received.

    `congested` is True while the agent does not read what is sent to it. `lasted_seconds` is set at the end.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.congested = False
        self.lasted_seconds = 0.0
        self._opened_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._closed = False
        self._receiver: Receiver = IGNORE
        self._budget: Budget | None = None
        self._passage: Passage | None = None
        self._fragments: bytearray | None = None
        self._fragments_are_text = False
        self._pong_due = False
        self._delayed_pong: bytes | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._failure_reader: asyncio.Task[None] | None = None

    def set_receiver(self, receiver: Receiver) -> None:
        """Pass messages and faults to a receiver from now on. Earlier ones are lost."""
        self._receiver = receiver

    def pass_audio(self, stream_sid: str, connect: Connect) -> AgentSocket | None:
        """Let audio pass this object, if possible. `connect` connects the socket to the leg, for this stream."""
        if self._transport is None or self._budget is None or self.ended.done():
            return None
        self._passage = Passage(self._transport, self._budget)
        return self._passage.open(stream_sid, connect)

    def send(self, message: bytes) -> None:
        """Send a text message. It is lost if the connection is closed."""
        if self._transport is None:
            return
        self._transport.send(_TEXT, message)
        self._settle()
        if self.congested and self._transport.underlying_transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._abort()

    def fail(self, error: Exception) -> None:
        """Raise this error from `ended`. The connection stays open."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def close(self) -> None:
        """Close with code 1000. Returns at once; the socket is closed within a second.

        Repeated calls have no effect.
        """
        self._receiver = IGNORE
        self._cancel_timers()
        self._end_passage()
        self._closed = True
        transport = self._transport
        if transport is None or transport.is_disconnected or self._linger_timer is not None:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        # Not closed at once: the kernel would answer further data with a reset, and our last message would be lost.
        self._linger_timer = self._loop.call_later(LINGER_SECONDS, transport.disconnect, False)  # noqa: FBT003 (positional for call_later)

    # ------------------------------------------------------------ what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Prepare the socket after the upgrade."""
        self._transport = transport
        self._opened_at = self._loop.time()
        underlying = transport.underlying_transport
        own = underlying.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        underlying.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._budget = Budget(underlying, self._note_flood, self._is_closing_for_fault)
        self._ping_timer = self._loop.call_later(PING_SECONDS, self._ping)
        if self._closed:
            self.close()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle a frame."""
        kind = frame.msg_type
        try:
            if kind is _CLOSE:
                self._respond_to_close(transport, frame)
            elif transport.is_close_frame_sent:
                return  # picows delivers further frames after it has closed for a fault
            elif frame.rsv1 or frame.rsv2 or frame.rsv3:
                # No extension, such as compression, was negotiated (RFC 6455, 5.2).
                self._close_for_fault(WSCloseCode.PROTOCOL_ERROR)
            elif kind is _TEXT and frame.fin and self._fragments is None:
                self._receiver.receive_text(frame.get_payload_as_bytes())
            elif kind is _PONG:
                self._pong_due = False
            elif kind is _PING:
                self._respond_to_ping(transport, frame)
            else:
                self._assemble(kind, frame)
        except Exception as error:  # noqa: BLE001 (raised from `ended`; picows would only log it)
            self.fail(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End: either side has closed the socket, it was lost, or picows has closed it for a fault of the agent."""
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        if self._close_code_sent() not in (None, WSCloseCode.OK):
            self._failure_reader = self._loop.create_task(_read_failure(transport))
        self._end(LOST)
        # Both refer to this object: the cycles would keep all of them in memory.
        self._budget = self._passage = None

    def pause_writing(self) -> None:
        """Note that the agent does not read, and wait for it to resume."""
        self.congested = True
        self._receiver.note_fault("not_reading", "the agent does not read; the caller's audio is dropped")
        self._drain_timer = self._loop.call_later(DRAIN_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """Resume after the agent has read what was queued."""
        self.congested = False
        if self._delayed_pong is not None and self._transport is not None:
            pong, self._delayed_pong = self._delayed_pong, None
            self._transport.send_pong(pong)
            self._settle()
        if self._drain_timer is not None:
            self._drain_timer.cancel()

    # ------------------------------------------------------------ inside

    def _assemble(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Assemble a fragmented message (RFC 6455, 5.4), or a binary one of a single frame."""
        if (kind is WSMsgType.CONTINUATION) != (self._fragments is not None):
            self._close_for_fault(WSCloseCode.PROTOCOL_ERROR)
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._fragments_are_text = kind is _TEXT
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > MAX_MESSAGE_BYTES:
            self._close_for_fault(WSCloseCode.MESSAGE_TOO_BIG)
        elif frame.fin:
            message, self._fragments = self._fragments, None
            if self._fragments_are_text:
                self._receiver.receive_text(message)
            else:
                self._receiver.receive_binary(message)

    def _respond_to_ping(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send a pong. An agent that does not read gets only the last one, when it resumes: no pongs pile up."""
        payload = frame.get_payload_as_bytes()
        if self.congested:
            self._delayed_pong = payload  # RFC 6455, 5.5.3: a pong for the latest ping is enough
        else:
            transport.send_pong(payload)
            self._settle()

    def _respond_to_close(self, transport: WSTransport, frame: WSFrame) -> None:
        code = frame.get_close_code()
        self._end(CLOSED_WITHOUT_CODE if code is WSCloseCode.NO_INFO else code.value)
        transport.send_close(WSCloseCode.OK if code is WSCloseCode.NO_INFO else code)
        transport.disconnect()

    def _close_for_fault(self, code: WSCloseCode) -> None:
        """Close because of a frame that the agent sent."""
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
        self._settle()
        self._ping_timer = self._loop.call_later(PING_SECONDS, self._ping)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        self._end(LOST)

    def _end(self, code: int) -> None:
        self._cancel_timers()
        self._end_passage()
        receiver, self._receiver = self._receiver, IGNORE
        if self.ended.done():
            return
        if self._close_code_sent() is WSCloseCode.MESSAGE_TOO_BIG:
            receiver.note_fault("too_long", f"a message is over {MAX_MESSAGE_BYTES} bytes")
        self.lasted_seconds = self._loop.time() - self._opened_at
        self.ended.set_result(code)

    def _is_closing_for_fault(self) -> bool:
        """True if we closed for a fault of the agent: picows would buffer everything that follows."""
        return bool(self._transport and self._transport.is_close_frame_sent) and self._close_code_sent() not in (
            None,
            WSCloseCode.OK,
        )

    def _note_flood(self) -> None:
        self._receiver.note_fault("flooding", "it sends more than is read; the rest is queued in TCP")

    def _close_code_sent(self) -> WSCloseCode | None:
        handshake = self._transport.close_handshake if self._transport else None
        return handshake.sent.code if handshake and handshake.sent else None

    def _settle(self) -> None:
        """After each message of ours: audio must not overtake it if it waits here."""
        if self._passage is not None:
            self._passage.settle()

    def _end_passage(self) -> None:
        if self._passage is not None:
            self._passage.close()

    def _cancel_timers(self) -> None:
        for timer in (self._ping_timer, self._drain_timer):
            if timer is not None:
                timer.cancel()


async def _read_failure(transport: WSTransport) -> None:
    """Retrieve the error for which picows has closed. Otherwise the loop reports it as never retrieved."""
    with suppress(Exception):
        await transport.wait_disconnected()
