"""Audio streams of legs on the event loop: audio from the callers, every 20 ms for all calls, and audio for them.

The native functions used here do not touch PJSIP, and may be called from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sipbridge.calls.ports.sip import AgentSocket, AudioListener, SocketUser
from sipbridge.errors import LegEnded
from sipbridge.sip.pjsip_functions import AudioFunctions

logger = logging.getLogger(__name__)

BYTES_PER_SECOND = 8000  # mu-law (ITU-T G.711)
# More than any agent needs; the limit protects the machine's memory from an agent that sends without pause.
MAX_QUEUED_SECONDS = 300
# An agent that makes up its next sentence pauses for a moment; that is not the end of its speech.
PAUSE_SECONDS = 0.2
_FRAME_SECONDS = 0.02


class AudioPump:
    """Passes the audio of all streams to their listeners after each turn of PJMEDIA's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, native: AudioFunctions) -> None:
        self._loop = loop
        self.native = native
        self._listeners: dict[int, AudioListener] = {}
        self._users: dict[int, SocketUser] = {}
        self._descriptor = native.audioDescriptor()

    def start(self) -> None:
        """Begin to read the streams."""
        self._loop.add_reader(self._descriptor, self._turn)

    def stop(self) -> None:
        """Stop reading the streams."""
        self._loop.remove_reader(self._descriptor)

    def open(self, listener: AudioListener) -> int:
        """Open a stream; return its number."""
        number = self.native.audioOpen(MAX_QUEUED_SECONDS * BYTES_PER_SECOND)
        self._listeners[number] = listener
        return number

    def close(self, number: int) -> None:
        """Close a stream. Closing it again does nothing."""
        if self._listeners.pop(number, None) is not None:
            self.native.audioClose(number)

    def connect(self, number: int, descriptor: int | None, stream_sid: str, user: SocketUser) -> StreamSocket:
        """Pass audio between a stream and the socket of its agent."""
        self._users[number] = user
        self.native.audioConnect(number, -1 if descriptor is None else descriptor, stream_sid)
        return StreamSocket(self.native, number, self._users)

    def _turn(self) -> None:
        # Sockets first: their audio waits for the next tick, which is near.
        for number, received, ended in self.native.readSockets():
            self._pass_received(number, received, ended=ended)
        for number, heard, played, unsent in self.native.takeAudio():
            self._pass_heard(number, heard, played, unsent)

    def _pass_received(self, number: int, received: bytes, *, ended: bool) -> None:
        user = self._users.get(number)
        if user is None:  # an earlier one of this turn has closed it
            return
        try:
            if received:
                user.receive(received)
            if ended:
                user.end_reading()
        except Exception:
            logger.exception("reading an agent's socket failed", extra={"event": "internal_error"})

    def _pass_heard(self, number: int, heard: bytes, played: int, unsent: bytes) -> None:
        listener = self._listeners.get(number)
        try:
            if unsent:
                self._users[number].send_rest(unsent)
            if listener is not None:
                listener(heard, played)
        except Exception:
            logger.exception("passing on audio failed", extra={"event": "internal_error"})


class StreamSocket:
    """Implements `calls.ports.AgentSocket`."""

    def __init__(self, native: AudioFunctions, number: int, users: dict[int, SocketUser]) -> None:
        self._native = native
        self._number = number
        self._users = users

    def sift(self, received: bytes) -> bytes:
        """Take what the user has read."""
        return self._native.siftSocket(self._number, received)

    def pause_reading(self) -> None:
        """Read no more."""
        self._native.socketReads(self._number, False)  # noqa: FBT003 (positional for SWIG)

    def resume_reading(self) -> None:
        """Read at each tick."""
        self._native.socketReads(self._number, True)  # noqa: FBT003 (positional for SWIG)

    def sends(self, sends: bool) -> None:  # noqa: FBT001 (the only argument)
        """Send audio, or leave it to the listener."""
        self._native.socketSends(self._number, sends)

    def reports(self, reports: bool) -> None:  # noqa: FBT001 (the only argument)
        """Call the listener for audio that was sent, too."""
        self._native.socketReports(self._number, reports)

    def count(self, messages: int, chunks: int, size: int) -> tuple[int, int, int]:
        """Count what others send."""
        return self._native.socketCounts(self._number, messages, chunks, size)

    def close(self) -> bytes:
        """Use the socket no more. To be called once."""
        del self._users[self._number]
        return self._native.closeSocket(self._number)


class LegAudio:
    """Implements `calls.ports.AudioStream`."""

    def __init__(
        self, pump: AudioPump, number: int, connect: Callable[[], Awaitable[None]], disconnect: Callable[[], None]
    ) -> None:
        """Make the audio of a stream that is connected to its leg by `connect`, which raises `LegEnded`."""
        self._pump = pump
        self._native = pump.native
        self._number = number
        self._connect = connect
        self._disconnect: Callable[[], None] | None = disconnect
        self._written = 0

    def write(self, audio: bytes) -> int:
        """Queue audio for the far end. After the end of the leg it is counted and discarded."""
        if self._disconnect is None:
            self._written += len(audio)
        else:
            self._written = self._native.audioWrite(self._number, audio)
        return self._written

    def position(self) -> tuple[int, int, float]:
        """Return the bytes written, those played, and when the audio of the last write is over."""
        if self._disconnect is None:
            return self._written, self._written, 0.0
        return self._native.audioPosition(self._number)

    def connect(self, descriptor: int | None, stream_sid: str, user: SocketUser) -> AgentSocket | None:
        """Pass audio between the leg and an agent's socket, unless the leg has ended."""
        return None if self._disconnect is None else self._pump.connect(self._number, descriptor, stream_sid, user)

    def clear(self) -> int:
        """Discard the queued audio."""
        if self._disconnect is not None:
            self._written = self._native.audioClear(self._number)
        return self._written

    def mute(self) -> None:
        """Drop the audio both ways, and disconnect from the leg."""
        if self._disconnect is not None:
            self._native.audioMute(self._number, True)  # noqa: FBT003 (positional for SWIG)
            self._disconnect()

    async def unmute(self) -> None:
        """Connect to the leg again. Raises `LegEnded`."""
        if self._disconnect is None:
            raise LegEnded("the leg has ended")
        self._native.audioMute(self._number, False)  # noqa: FBT003 (positional for SWIG)
        await self._connect()

    async def played_out(self) -> None:
        """Return when all audible audio has been sent and no more has come for `PAUSE_SECONDS`."""
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        while self._disconnect is not None and loop.time() - silent_since < PAUSE_SECONDS:
            remaining = self._native.audioUnheard(self._number)
            # Wait in steps: the queue may be cleared meanwhile.
            await asyncio.sleep(min(PAUSE_SECONDS, max(_FRAME_SECONDS, remaining / BYTES_PER_SECOND)))
            if remaining:
                silent_since = loop.time()

    def close(self) -> None:
        """Disconnect from the leg. Closing it again does nothing."""
        if self._disconnect is not None:
            self._written = self._native.audioPosition(self._number)[0]
            self._pump.close(self._number)
            self._disconnect()
            self._disconnect = None
