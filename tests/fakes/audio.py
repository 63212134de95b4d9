"""Audio streams without media."""

from __future__ import annotations

import asyncio

from sipbridge.calls.ports.sip import AgentSocket, AudioListener, AudioStream, SocketUser
from sipbridge.errors import LegEnded


class FakeAudioStream:
    """Implements `AudioStream`: plays when a test calls `turn`."""

    def __init__(self, listener: AudioListener, limit: int = 2_400_000) -> None:
        self.listener = listener
        self.limit = limit
        self.audio = b""
        self.played = 0
        self.closed = False
        self.muted = False
        self.clears = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    # ------------------------------------------------------------ for agents

    def write(self, audio: bytes) -> int:
        free = self.limit - (len(self.audio) - self.played)
        self.audio += audio[:free]
        if self.muted:
            self.played = len(self.audio)
        self._note_quiet()
        return len(self.audio)

    def position(self) -> tuple[int, int, float]:
        return len(self.audio), self.played, 0.0

    def connect(self, _descriptor: int | None, _stream_sid: str, _user: SocketUser) -> AgentSocket | None:
        return None

    def clear(self) -> int:
        self.clears += 1
        self.played = len(self.audio)
        self._note_quiet()
        return self.played

    def mute(self) -> None:
        self.muted = True
        self.clear()

    async def unmute(self) -> None:
        if self.closed:
            raise LegEnded("the leg has ended")
        self.muted = False

    async def played_out(self) -> None:
        await self._quiet.wait()

    def close(self) -> None:
        self.closed = True
        self.listener = _nobody
        self._quiet.set()

    # ------------------------------------------------------------ actions of the caller's side

    def turn(self, received: bytes = b"\xff" * 160, play: int = 160) -> None:
        """Advance the media clock by one tick: play so many bytes, and pass on the caller's audio."""
        self.played = min(len(self.audio), self.played + play)
        self._note_quiet()
        if not self.muted:
            self.listener(received, self.played)

    def _note_quiet(self) -> None:
        if self.played == len(self.audio):
            self._quiet.set()
        else:
            self._quiet.clear()


def _implements(stream: FakeAudioStream) -> AudioStream:
    return stream


def _nobody(_audio: bytes, _played: int) -> None:
    """Listen no more, as the listener of a closed stream."""
