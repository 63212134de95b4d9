from __future__ import annotations

import array
import math

import pytest

from sipbridge.sip.clips import CLOCK_RATE, convert, convert_loop, make_clip
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


@pytest.mark.parametrize("rate", [8000, 8001, 11025, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("milliseconds", [3, 100, 1234])
def test_a_looped_recording_has_no_step_at_its_seam(rate: int, milliseconds: int) -> None:
    """A tone with a whole number of periods, at its peak there, keeps its level up to the ends."""
    periods = max(1, milliseconds // 3)
    count = rate * milliseconds // 1000
    tone = array.array("h", (round(8000 * math.cos(2 * math.pi * periods * at / count)) for at in range(count)))
    looped = array.array("h", convert_loop(Pcm(tone.tobytes(), rate)))
    assert len(looped) == pytest.approx(CLOCK_RATE * count / rate, abs=1)
    assert looped[0] == pytest.approx(8000, abs=200)
    assert looped[-1] == pytest.approx(8000 * math.cos(2 * math.pi * periods / len(looped)), abs=2000)


def test_a_looped_recording_of_one_sample_is_not_empty() -> None:
    assert convert_loop(Pcm(samples(1), 96_000))
