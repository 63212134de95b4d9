"""An audio stream that reads and writes the agent's socket with the native layer, as a running bridge does."""

from __future__ import annotations

import asyncio
import os

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.ports.sip import AgentSocket, AudioListener, SocketUser
from sipbridge.sip.audio import AudioPump
from tests.fakes import FakeAudioStream

TICK_SECONDS = 0.002


class PassingAudio(FakeAudioStream):
    """Its queue is native: `audio` stays empty. A timer replaces the media clock, and nothing is played."""

    def __init__(self, listener: AudioListener, limit: int = 2_400_000) -> None:
        super().__init__(listener, limit)
        self._loop = asyncio.get_running_loop()
        self._pump = AudioPump(self._loop, pj)
        self._pump.start()
        self._number = self._pump.open(listener)
        self._timer = self._loop.call_soon(self._tick)

    def write(self, audio: bytes) -> int:
        return pj.audioWrite(self._number, audio)

    def position(self) -> tuple[int, int, float]:
        return pj.audioPosition(self._number)

    def clear(self) -> int:
        return pj.audioClear(self._number)

    def connect(self, descriptor: int | None, stream_sid: str, user: SocketUser) -> AgentSocket | None:
        return self._pump.connect(self._number, descriptor, stream_sid, user)

    def close(self) -> None:
        super().close()
        self._timer.cancel()
        self._pump.close(self._number)
        self._pump.stop()

    def _tick(self) -> None:
        os.eventfd_write(pj.audioDescriptor(), 1)
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
