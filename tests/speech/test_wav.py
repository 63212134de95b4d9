from __future__ import annotations

import random
import shutil
import struct
import subprocess

import pytest

from sipbridge.speech.wav import read_speech

from .programs import wav

SAMPLES = struct.pack("<5h", 0, 1, -1, 32767, -32768)


def with_lengths(made: bytes, riff: int, data: int) -> bytes:
    return made[:4] + struct.pack("<I", riff) + made[8:40] + struct.pack("<I", data) + made[44:]


def test_a_wav_is_read() -> None:
    pcm = read_speech(wav(SAMPLES, rate=22_050))
    assert (struct.unpack("=5h", pcm.samples), pcm.rate) == ((0, 1, -1, 32767, -32768), 22_050)


@pytest.mark.parametrize(
    ("riff", "data"), [(0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0), (36, 0), (0x80000023, 0x7FFFFFFF)]
)
def test_lengths_that_were_never_filled_in_are_corrected(riff: int, data: int) -> None:
    assert read_speech(with_lengths(wav(SAMPLES), riff, data)).samples == SAMPLES


def test_half_a_sample_at_the_end_is_dropped() -> None:
    assert read_speech(wav(SAMPLES)[:-1]).samples == SAMPLES[:-2]


def test_other_chunks_are_skipped() -> None:
    made, note = wav(SAMPLES), b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert read_speech(made[:36] + note + made[36:] + note).samples == SAMPLES


def test_a_sequence_of_wavs_is_joined() -> None:
    """The output of piper for several lines of text."""
    assert read_speech(wav(SAMPLES) + wav(SAMPLES[:4]) + wav(SAMPLES)).samples == SAMPLES + SAMPLES[:4] + SAMPLES


def test_several_wavs_of_different_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="several rates"):
        read_speech(wav(SAMPLES) + wav(SAMPLES, rate=16_000))


@pytest.mark.parametrize(
    "output", [b"", b"RIFF", b"Usage: say [OPTION]...\n" * 10, wav(SAMPLES)[:30], wav(b""), wav(SAMPLES, rate=4000)]
)
def test_unplayable_output_is_refused_with_the_reason(output: bytes) -> None:
    with pytest.raises(ValueError, match=r"^wrote "):
        read_speech(output)


def test_broken_headers_raise_only_value_errors() -> None:
    dice = random.Random(7)  # noqa: S311 (no secret)
    for _ in range(500):
        broken = bytearray(wav(SAMPLES) + wav(SAMPLES))
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        try:
            read_speech(bytes(broken))
        except ValueError:
            continue


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_ngs_output_is_read_to_its_end() -> None:
    program = shutil.which("espeak-ng") or ""
    done = subprocess.run([program, "--stdout"], input=b"One moment, please.\n", capture_output=True, check=True)  # noqa: S603 (found above)
    pcm = read_speech(done.stdout)
    assert len(pcm.samples) == len(done.stdout) - 44
    assert 0.5 < pcm.seconds < 5
    assert any(pcm.samples)
