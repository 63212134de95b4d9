"""The passage of audio between a leg and the agent's socket, past the frames and messages of Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from picows import WSTransport

from sipbridge.agents.websocket.budget import Budget
from sipbridge.calls.ports.sip import AgentSocket, SocketUser

# Connects a socket, by its descriptor, to a leg, for the stream with this id.
Connect = Callable[[int | None, str, SocketUser], AgentSocket | None]


class Passage:
    """Implements `SocketUser`. While it is open, the leg reads the socket, and writes to it if nothing waits here.

    Over TLS the transport does both, and the leg gets and makes the bytes. What the leg cannot use comes through the
    budget, as if there were no passage.
    """

    def __init__(self, transport: WSTransport, budget: Budget) -> None:
        self._transport = transport
        self._underlying = transport.underlying_transport
        self._budget = budget
        self._socket: AgentSocket | None = None
        self._partial = b""  # bytes that the leg has read and not used
        self._loop = asyncio.get_running_loop()

    def open(self, stream_sid: str, connect: Connect) -> AgentSocket | None:
        """Open the passage. Return None if audio cannot pass."""
        secure = self._transport.is_secure
        descriptor = None if secure else self._underlying.get_extra_info("socket").fileno()
        self._socket = connect(descriptor, stream_sid, self)
        if self._socket is None:
            return None
        if secure:
            self._budget.sift(self._sift)
        else:
            self._budget.read_from(self._socket)
        self.settle()
        return self._socket

    def settle(self) -> None:
        """Let the leg send if nothing waits in the transport."""
        if self._socket is not None:
            self._socket.sends(not self._underlying.get_write_buffer_size())

    def close(self) -> None:
        """Let Python read and write everything again. Closing it again does nothing."""
        if self._socket is None:
            return
        self._partial = self._socket.close()
        self._socket = None
        # Later, because this may be called in the middle of a read.
        self._loop.call_soon(self._return_reading)

    # ------------------------------------------------------------ what the leg calls

    def receive(self, received: bytes) -> None:
        """Handle what is not audio."""
        self._budget.receive(received)
        if self._transport.is_close_frame_sent:  # picows closes for a fault without a notice
            self.close()

    def end_reading(self) -> None:
        """Let the transport find out how the socket ended."""
        self.close()

    def send_rest(self, unsent: bytes) -> None:
        """Send messages, or the rest of one."""
        if self._transport.is_close_frame_sent:
            self.close()
        else:
            self._underlying.write(unsent)
            self.settle()

    # ------------------------------------------------------------ inside

    def _sift(self, received: bytes) -> bytes:
        if self._socket is not None:
            return self._socket.sift(received)
        rest, self._partial = self._partial + received, b""
        return rest

    def _return_reading(self) -> None:
        self._budget.sift(None)
        if self._underlying.is_closing():
            return
        partial, self._partial = self._partial, b""
        self._budget.receive(partial)
        if not self._transport.is_secure:
            self._budget.read_from(None)
