"""The native rings between agents and PJMEDIA, without the media clock; the system tests run it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import pytest
from sipbridge_pjsip import pjsua2 as pj

LOUD, SILENT = b"\x10", b"\xff"
LIMIT = 1600


@pytest.fixture
def stream() -> Iterator[int]:
    number: int = pj.audioOpen(LIMIT)
    yield number
    pj.audioClose(number)


def test_a_write_returns_all_bytes_written_so_far(stream: int) -> None:
    assert pj.audioWrite(stream, LOUD * 160) == 160
    assert pj.audioWrite(stream, b"") == 160
    assert pj.audioWrite(stream, LOUD * 7) == 167


def test_audio_beyond_the_limit_is_dropped_and_counted(stream: int) -> None:
    _, before, *_ = pj.audioCounts()
    assert pj.audioWrite(stream, LOUD * (LIMIT + 1)) == LIMIT
    assert pj.audioWrite(stream, LOUD) == LIMIT
    _, after, *_ = pj.audioCounts()
    assert after == before + 2


def test_clearing_counts_as_played(stream: int) -> None:
    pj.audioWrite(stream, LOUD * 1000)
    assert pj.audioClear(stream) == 1000
    assert pj.audioUnheard(stream) == 0
    assert pj.audioWrite(stream, LOUD * 10) == 1010


def test_silence_at_the_end_is_not_awaited(stream: int) -> None:
    pj.audioWrite(stream, LOUD * 320 + SILENT * 640)
    assert pj.audioUnheard(stream) == 320
    pj.audioWrite(stream, SILENT * 160)
    assert pj.audioUnheard(stream) == 320
    pj.audioWrite(stream, LOUD)
    assert pj.audioUnheard(stream) == 320 + 640 + 160 + 1


def test_the_position_says_when_all_written_audio_will_be_over(stream: int) -> None:
    before = time.monotonic()
    pj.audioWrite(stream, LOUD * 800)
    written, played, over = pj.audioPosition(stream)
    assert (written, played) == (800, 0)
    assert before + 0.1 <= over <= time.monotonic() + 0.1
    pj.audioClear(stream)
    assert pj.audioPosition(stream) == (800, 800, 0.0)


def test_a_closed_stream_accepts_nothing(stream: int) -> None:
    pj.audioClose(stream)
    assert pj.audioWrite(stream, LOUD) == 0
    assert pj.audioClear(stream) == 0
    assert pj.audioUnheard(stream) == 0


def test_only_bytes_are_audio(stream: int) -> None:
    with pytest.raises(TypeError):
        pj.audioWrite(stream, cast("bytes", "text"))


def test_without_the_clock_no_audio_is_received(stream: int) -> None:
    pj.audioDescriptor()
    assert stream not in [number for number, *_ in pj.takeAudio()]
