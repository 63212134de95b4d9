"""The streams of legs on the event loop. test_audio.py tests the native rings behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from sipbridge.calls.ports.sip import AudioStream
from sipbridge.sip import audio as module
from sipbridge.sip.audio import AudioPump, LegAudio
from tests.fakes.pjsip import FakePjsip

FRAME = b"\x10" * 160


@pytest.fixture
async def pump(pjsip: FakePjsip) -> AsyncIterator[AudioPump]:
    pump = AudioPump(asyncio.get_running_loop(), pjsip)
    pump.start()
    yield pump
    pump.stop()


class Listener:
    """Collects the audio of one stream."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

    def __call__(self, audio: bytes, played: int) -> None:
        self.received.put_nowait((audio, played))


async def test_each_listener_gets_the_audio_of_its_stream(pump: AudioPump, pjsip: FakePjsip) -> None:
    one, two = Listener(), Listener()
    first, second = pump.open(one), pump.open(two)
    pjsip.receive_audio(second, FRAME * 2, 320)
    pjsip.receive_audio(first, FRAME, 160)
    assert await one.received.get() == (FRAME, 160)
    assert await two.received.get() == (FRAME * 2, 320)


async def test_a_listener_that_fails_stops_no_other(
    pump: AudioPump, pjsip: FakePjsip, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_audio: bytes, _played: int) -> NoReturn:
        raise ValueError("a fault of ours")

    listener = Listener()
    pjsip.receive_audio(pump.open(fail), FRAME)
    pjsip.receive_audio(pump.open(listener), FRAME)
    await listener.received.get()
    assert "passing on audio failed" in caplog.text


async def test_a_stream_that_was_closed_gets_no_audio(pump: AudioPump, pjsip: FakePjsip) -> None:
    closed, other = Listener(), Listener()
    number = pump.open(closed)
    pump.close(number)
    pump.close(number)
    pjsip.receive_audio(number, FRAME)
    pjsip.receive_audio(pump.open(other), FRAME)
    await other.received.get()
    assert closed.received.empty()


# -------------------------------------------------------------------- a leg's stream


class Stream:
    """The stream of one leg."""

    def __init__(self, pump: AudioPump) -> None:
        self.disconnected = 0
        self.audio: AudioStream = LegAudio(pump, pump.open(lambda _audio, _played: None), self._disconnect)

    def _disconnect(self) -> None:
        self.disconnected += 1


@pytest.fixture
def stream(pump: AudioPump) -> Stream:
    return Stream(pump)


async def test_writing_and_clearing_return_all_bytes_so_far(stream: Stream, pjsip: FakePjsip) -> None:
    assert stream.audio.write(FRAME) == 160
    assert stream.audio.write(b"123") == 163
    assert stream.audio.clear() == 163
    assert pjsip.sent == [("clear", 1)]


async def test_after_the_end_audio_is_counted_and_discarded(stream: Stream, pjsip: FakePjsip) -> None:
    stream.audio.write(FRAME)
    stream.audio.close()
    stream.audio.close()
    assert stream.disconnected == 1
    assert pjsip.streams == {}
    assert stream.audio.write(FRAME) == 320
    await stream.audio.played_out()


async def test_audio_has_been_played_out_after_a_pause(
    stream: Stream, pjsip: FakePjsip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)
    pjsip.unheard = 8000
    waiting = asyncio.ensure_future(stream.audio.played_out())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    pjsip.unheard = 0
    await waiting


async def test_a_leg_that_ends_ends_the_wait_for_its_audio(
    stream: Stream, pjsip: FakePjsip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)
    pjsip.unheard = 8000
    waiting = asyncio.ensure_future(stream.audio.played_out())
    await asyncio.sleep(0.01)
    stream.audio.close()
    await waiting
