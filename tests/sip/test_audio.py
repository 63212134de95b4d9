"""The rings between agents and PJMEDIA, as far as they need no clock: tests/sipp hears the rest."""

from __future__ import annotations

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


def test_a_write_says_how_much_was_ever_written(stream: int) -> None:
    assert pj.audioWrite(stream, LOUD * 160) == 160
    assert pj.audioWrite(stream, b"") == 160
    assert pj.audioWrite(stream, LOUD * 7) == 167


def test_what_is_over_the_limit_is_dropped_and_counted(stream: int) -> None:
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


def test_silence_at_the_end_need_not_be_heard(stream: int) -> None:
    pj.audioWrite(stream, LOUD * 320 + SILENT * 640)
    assert pj.audioUnheard(stream) == 320
    pj.audioWrite(stream, SILENT * 160)
    assert pj.audioUnheard(stream) == 320
    pj.audioWrite(stream, LOUD)
    assert pj.audioUnheard(stream) == 320 + 640 + 160 + 1


def test_a_stream_that_was_forgotten_takes_nothing_and_harms_nobody(stream: int) -> None:
    pj.audioClose(stream)
    assert pj.audioWrite(stream, LOUD) == 0
    assert pj.audioClear(stream) == 0
    assert pj.audioUnheard(stream) == 0


def test_only_bytes_are_audio(stream: int) -> None:
    with pytest.raises(TypeError):
        pj.audioWrite(stream, cast("bytes", "text"))


def test_nothing_was_heard_where_no_clock_runs(stream: int) -> None:
    pj.audioDescriptor()
    assert stream not in [number for number, _, _ in pj.takeAudio()]
