from __future__ import annotations

import io
import random
import struct
import wave
from pathlib import Path

import pytest

from sipbridge.errors import StartupError
from sipbridge.wav import MAX_SECONDS, read_wav


def _wav(path: Path, frames: bytes, *, channels: int = 1, width: int = 2, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return path


def _samples(pcm: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(pcm) // 2}h", pcm)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "greeting.wav"


def test_16_bit_mono_is_unchanged(file: Path) -> None:
    pcm = read_wav(_wav(file, struct.pack("<5h", 0, 1, -1, 32767, -32768)))
    assert _samples(pcm.samples) == (0, 1, -1, 32767, -32768)
    assert pcm.rate == 8000


@pytest.mark.parametrize(
    ("width", "frames"),
    [
        (1, bytes([128, 255, 0])),
        (3, b"\xff\x00\x00" + b"\x12\x00\x7f" + b"\x34\x00\x80"),
        (4, b"\xff\xff\x00\x00" + b"\x12\x34\x00\x7f" + b"\x56\x78\x00\x80"),
    ],
)
def test_other_widths_keep_their_upper_sixteen_bits(file: Path, width: int, frames: bytes) -> None:
    assert _samples(read_wav(_wav(file, frames, width=width)).samples) == (0, 0x7F00, -0x8000)


def test_stereo_is_mixed(file: Path) -> None:
    pcm = read_wav(_wav(file, struct.pack("<6h", 100, 300, 32767, 32767, -32768, -32768), channels=2))
    assert _samples(pcm.samples) == (200, 32767, -32768)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
def test_common_rates_are_kept(file: Path, rate: int) -> None:
    pcm = read_wav(_wav(file, bytes(2 * rate), rate=rate))
    assert pcm.rate == rate
    assert pcm.seconds == 1.0


@pytest.mark.parametrize(
    ("channels", "rate", "seconds"), [(3, 8000, 1), (1, 7999, 1), (1, 96001, 1), (1, 8000, MAX_SECONDS + 1)]
)
def test_an_unplayable_format_is_an_error_with_playable_ones(
    file: Path, channels: int, rate: int, seconds: int
) -> None:
    _wav(file, bytes(2 * channels * rate * seconds), channels=channels, rate=rate)
    with pytest.raises(StartupError, match=r"mono or stereo at 8,000 to 96,000 Hz") as refused:
        read_wav(file)
    assert str(file) in str(refused.value)


def test_the_longest_recording_is_played(file: Path) -> None:
    assert read_wav(_wav(file, bytes(MAX_SECONDS * 8000), width=1)).seconds == MAX_SECONDS


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no wave at all, and long enough to be one", b"ID3" + bytes(100)])
def test_a_file_that_is_not_wav_is_an_error_that_says_how_to_convert_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(StartupError, match=r"convert it: sox"):
        read_wav(file)


def test_a_missing_file_is_a_startup_error(file: Path) -> None:
    with pytest.raises(StartupError, match=r"greeting\.wav"):
        read_wav(file)


def test_an_empty_recording_is_an_error(file: Path) -> None:
    with pytest.raises(StartupError, match="holds no audio"):
        read_wav(_wav(file, b""))


def test_a_truncated_file_plays_the_samples_that_it_has(file: Path) -> None:
    whole = _wav(file, struct.pack("<4h", 1, 2, 3, 4)).read_bytes()
    file.write_bytes(whole[:-3])
    assert _samples(read_wav(file).samples) == (1, 2)


def test_a_corrupt_file_raises_only_a_startup_error(file: Path) -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as made:
        made.setnchannels(2)
        made.setsampwidth(2)
        made.setframerate(8000)
        made.writeframes(bytes(64))
    dice = random.Random(7)  # noqa: S311 (no secret)
    for _ in range(500):
        broken = bytearray(buffer.getvalue())
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(44)] = dice.randrange(256)
        file.write_bytes(broken)
        try:
            read_wav(file)
        except StartupError:
            continue
