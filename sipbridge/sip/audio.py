"""Audio of legs on the event loop: what callers say, once each 20 ms for all calls, and what is queued for them.

The functions of pjsua2 that are used here are our own, touch nothing of PJSIP's and may be called from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.ports import AudioListener

logger = logging.getLogger(__name__)

BYTES_PER_SECOND = 8000  # mu-law (ITU-T G.711)
# More than any agent has to say at once; an agent without a sense of time must not eat the machine.
MAX_QUEUED_SECONDS = 300
# A pause between two sentences that the agent still makes up is no end of speech.
PAUSE_SECONDS = 0.2
_FRAME_SECONDS = 0.02


class AudioPump:
    """Hands the audio of all streams to their listeners when PJMEDIA's clock has moved it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: dict[int, AudioListener] = {}
        self._descriptor: int = pj.audioDescriptor()

    def start(self) -> None:
        """Listen for the clock."""
        self._loop.add_reader(self._descriptor, self._turn)

    def stop(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._descriptor)

    def open(self, listener: AudioListener) -> int:
        """Open a stream; returns its number."""
        number: int = pj.audioOpen(MAX_QUEUED_SECONDS * BYTES_PER_SECOND)
        self._listeners[number] = listener
        return number

    def close(self, number: int) -> None:
        """Forget a stream; once or more often."""
        if self._listeners.pop(number, None) is not None:
            pj.audioClose(number)

    def _turn(self) -> None:
        for number, heard, played in pj.takeAudio():
            listener = self._listeners.get(number)
            if listener is None:
                continue
            try:
                listener(heard, played)
            except Exception:
                logger.exception("audio could not be passed on", extra={"event": "internal_error"})


class LegAudio:
    """Implements `calls.ports.AudioStream`."""

    def __init__(self, pump: AudioPump, number: int, disconnect: Callable[[], None]) -> None:
        self._pump = pump
        self._number = number
        self._disconnect: Callable[[], None] | None = disconnect
        self._written = 0

    def write(self, audio: bytes) -> int:
        """Queue audio for the far end; after the end it goes nowhere, and nobody did anything wrong."""
        if self._disconnect is None:
            self._written += len(audio)
        else:
            self._written = pj.audioWrite(self._number, audio)
        return self._written

    def clear(self) -> int:
        """Drop what is queued."""
        pj.audioClear(self._number)
        return self._written

    async def played_out(self) -> None:
        """Return once what can be heard has left, and nothing more has come for a moment."""
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        while self._disconnect is not None and loop.time() - quiet_since < PAUSE_SECONDS:
            unheard = pj.audioUnheard(self._number)
            # Not all of it at once: it may be cleared meanwhile.
            await asyncio.sleep(min(PAUSE_SECONDS, max(_FRAME_SECONDS, unheard / BYTES_PER_SECOND)))
            if unheard:
                quiet_since = loop.time()

    def close(self) -> None:
        """Disconnect; once or more often."""
        if self._disconnect is not None:
            self._pump.close(self._number)
            self._disconnect()
            self._disconnect = None
