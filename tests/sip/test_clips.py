from __future__ import annotations

import array

import pytest

from sipbridge.sip.clips import CLOCK_RATE, convert, make_clip
from sipbridge.wav import Pcm


def samples(count: int) -> bytes:
    return array.array("h", [1000] * count).tobytes()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_recording_is_converted_to_the_rate_of_the_conference(rate: int) -> None:
    converted = array.array("h", convert(Pcm(samples(rate // 10), rate)))
    assert len(converted) == pytest.approx(CLOCK_RATE // 10, rel=0.05)
    assert converted[len(converted) // 2] == pytest.approx(1000, rel=0.1)


def test_a_recording_at_that_rate_is_unchanged() -> None:
    recording = Pcm(samples(80), CLOCK_RATE)
    assert convert(recording) == recording.samples
    make_clip(recording)
