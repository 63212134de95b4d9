"""Audio streams of legs on the event loop: audio from the callers, every 20 ms for all calls, and audio for them.

The native functions used here do not touch PJSIP, and may be called from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sipbridge.calls.ports.sip import AudioListener
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

    def _turn(self) -> None:
        for number, received, played in self.native.takeAudio():
            listener = self._listeners.get(number)
            if listener is None:
                continue
            try:
                listener(received, played)
            except Exception:
                logger.exception("passing on audio failed", extra={"event": "internal_error"})


class LegAudio:
    """Implements `calls.ports.AudioStream`."""

    def __init__(self, pump: AudioPump, number: int, disconnect: Callable[[], None]) -> None:
        self._pump = pump
        self._native = pump.native
        self._number = number
        self._disconnect: Callable[[], None] | None = disconnect
        self._written = 0

    def write(self, audio: bytes) -> int:
        """Queue audio for the far end. After the end of the leg it is counted and discarded."""
        if self._disconnect is None:
            self._written += len(audio)
        else:
            self._written = self._native.audioWrite(self._number, audio)
        return self._written

    def clear(self) -> int:
        """Discard the queued audio."""
        self._native.audioClear(self._number)
        return self._written

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
            self._pump.close(self._number)
            self._disconnect()
            self._disconnect = None
