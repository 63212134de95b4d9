"""The streams of legs on the event loop. test_audio.py tests the native rings behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from sipbridge.calls.ports.sip import AudioStream
from sipbridge.errors import LegEnded
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


# -------------------------------------------------------------------- an agent's socket


class User:
    """The owner of a stream's socket, and the listener of the stream; notes what happens to it, in order."""

    def __init__(self, pump: AudioPump) -> None:
        self.number = pump.open(self._hear)
        self.happened: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self.socket = pump.connect(self.number, 3, "MZ1", self)

    def receive(self, received: bytes) -> None:
        self.happened.put_nowait(("received", received))
        if received == b"fault":
            raise ValueError("a fault of ours")

    def end_reading(self) -> None:
        self.happened.put_nowait(("ended",))

    def send_rest(self, unsent: bytes) -> None:
        self.happened.put_nowait(("unsent", unsent))

    def _hear(self, audio: bytes, played: int) -> None:
        self.happened.put_nowait(("heard", audio, played))


async def test_a_sockets_user_gets_what_is_not_audio_and_the_end(pump: AudioPump, pjsip: FakePjsip) -> None:
    one, two = User(pump), User(pump)
    pjsip.receive_from_socket(one.number, b"fault")
    pjsip.receive_from_socket(two.number, b"mark", ended=True)
    assert await one.happened.get() == ("received", b"fault")
    assert await two.happened.get() == ("received", b"mark")
    assert await two.happened.get() == ("ended",)


async def test_the_rest_of_a_message_is_sent_before_anything_else(pump: AudioPump, pjsip: FakePjsip) -> None:
    user = User(pump)
    pjsip.receive_audio(user.number, b"", 320, b"rest")
    assert await user.happened.get() == ("unsent", b"rest")
    assert await user.happened.get() == ("heard", b"", 320)


async def test_a_closed_socket_has_no_user(pump: AudioPump, pjsip: FakePjsip) -> None:
    user = User(pump)
    assert user.socket.close() == b"partial"
    pjsip.receive_from_socket(user.number, b"late")
    pjsip.receive_audio(user.number, FRAME)
    assert await user.happened.get() == ("heard", FRAME, 0)


async def test_a_socket_is_commanded_by_the_number_of_its_stream(pump: AudioPump, pjsip: FakePjsip) -> None:
    socket = User(pump).socket
    socket.resume_reading()
    socket.pause_reading()
    socket.sends(False)  # noqa: FBT003 (its only argument)
    socket.reports(True)  # noqa: FBT003 (its only argument)
    assert socket.count(1, 0, 160) == (1, 0, 160)
    socket.close()
    assert pjsip.sent == [
        ("connect", 1, 3, "MZ1"),
        ("reads", 1, True),
        ("reads", 1, False),
        ("sends", 1, False),
        ("reports", 1, True),
        ("counts", 1),
        ("close", 1),
    ]


# -------------------------------------------------------------------- a leg's stream


class Stream:
    """The stream of one leg."""

    def __init__(self, pump: AudioPump) -> None:
        self.disconnected = self.connected = 0
        number = pump.open(lambda _audio, _played: None)
        self.audio: AudioStream = LegAudio(pump, number, self._connect, self._disconnect)

    async def _connect(self) -> None:
        self.connected += 1

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


async def test_a_muted_stream_leaves_the_leg_until_it_is_unmuted(stream: Stream, pjsip: FakePjsip) -> None:
    stream.audio.mute()
    assert (stream.connected, stream.disconnected) == (0, 1)
    await stream.audio.unmute()
    assert (stream.connected, stream.disconnected) == (1, 1)
    assert pjsip.sent == [("mute", 1, True), ("mute", 1, False)]


async def test_a_stream_whose_leg_has_ended_cannot_be_unmuted(stream: Stream, pjsip: FakePjsip) -> None:
    stream.audio.close()
    stream.audio.mute()
    with pytest.raises(LegEnded):
        await stream.audio.unmute()
    assert pjsip.sent == []


async def test_after_the_end_audio_is_counted_and_discarded(stream: Stream, pjsip: FakePjsip) -> None:
    stream.audio.write(FRAME)
    stream.audio.close()
    stream.audio.close()
    assert stream.disconnected == 1
    assert pjsip.streams == {}
    assert stream.audio.write(FRAME) == 320
    await stream.audio.played_out()


async def test_the_position_stays_after_the_end(stream: Stream, pjsip: FakePjsip) -> None:
    pjsip.streams[1] += FRAME  # written past the leg
    assert stream.audio.position() == (160, 0, 0.0)
    stream.audio.close()
    assert stream.audio.position() == (160, 160, 0.0)
    assert stream.audio.write(FRAME) == 320
    assert stream.audio.clear() == 320


async def test_no_socket_is_connected_after_the_end(stream: Stream, pump: AudioPump, pjsip: FakePjsip) -> None:
    user = User(pump)
    stream.audio.close()
    sent = list(pjsip.sent)
    assert stream.audio.connect(3, "MZ1", user) is None
    assert pjsip.sent == sent


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
