from __future__ import annotations

import pytest

from sipbridge.agents.websocket.playback import Playback
from tests.fakes import FakeAudioStream


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audio() -> FakeAudioStream:
    return FakeAudioStream(lambda _audio, _played: None, limit=16_000)


@pytest.fixture
def playback(clock: Clock, audio: FakeAudioStream) -> Playback:
    return Playback(audio, clock)


def test_it_is_quiet_from_the_beginning(playback: Playback, clock: Clock) -> None:
    clock.now += 3
    assert playback.quiet_seconds() == 3


def test_it_is_quiet_since_the_last_activity(playback: Playback, clock: Clock) -> None:
    clock.now += 3
    playback.note_activity()
    clock.now += 2
    assert playback.quiet_seconds() == 2


def test_it_is_quiet_since_its_last_audio_was_played(playback: Playback, audio: FakeAudioStream, clock: Clock) -> None:
    playback.write(b"a" * 8000)
    playback.note_activity()
    audio.turn(play=8000)
    clock.now += 3
    assert playback.quiet_seconds() == 2


def test_delayed_audio_is_still_to_be_played(playback: Playback, clock: Clock) -> None:
    playback.write(b"a" * 8000)
    playback.note_activity()
    clock.now += 60
    assert playback.quiet_seconds() == -1


def test_cleared_audio_is_not_to_be_played(playback: Playback, clock: Clock) -> None:
    playback.write(b"a" * 8000)
    playback.clear()
    playback.note_activity()
    clock.now += 1
    assert playback.quiet_seconds() == 1
    assert playback.written == playback.played == 8000


def test_audio_beyond_the_queue_is_reported_and_does_not_count(playback: Playback) -> None:
    assert playback.write(b"a" * 16_000)
    assert not playback.write(b"a")
    assert playback.written == 16_000
