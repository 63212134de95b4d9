"""The reader of recordings: WAV files of any common rate, mono or stereo, become 16-bit mono samples."""

from __future__ import annotations

import sys
import wave
from array import array
from dataclasses import dataclass
from pathlib import Path

from sipbridge.errors import StartupError

RATES = range(8_000, 96_001)
MAX_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Pcm:
    """Mono audio: 16-bit signed samples in the machine's byte order, `rate` per second."""

    samples: bytes
    rate: int

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self.samples) / 2 / self.rate


def read_wav(path: Path) -> Pcm:
    """Read a WAV file. Raises `StartupError` with what is wrong with it, and how to convert it."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, frames = file.getparams()[:4]
            if channels not in (1, 2) or rate not in RATES or frames > MAX_SECONDS * rate:
                raise StartupError(
                    f"{path}: {channels} channels, {rate} Hz, {frames / max(rate, 1):.0f} s cannot be played; give "
                    f"mono or stereo at 8,000 to 96,000 Hz, at most {MAX_SECONDS} s"
                )
            data = file.readframes(frames)
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        raise StartupError(
            f"{path}: not a playable WAV file ({error}); convert it: sox FILE -b 16 -e signed-integer out.wav"
        ) from None
    samples = _to_16_bit(data, width)
    if channels == 2:  # noqa: PLR2004 (stereo)
        samples = _mix(samples)
    if not samples:
        raise StartupError(f"{path}: holds no audio")
    return Pcm(samples.tobytes(), rate)


def _to_16_bit(data: bytes, width: int) -> array[int]:
    """Keep the upper 16 bits of every sample. 8-bit WAV is unsigned; all others are signed and little-endian."""
    count = len(data) // width
    data = data[: count * width]
    if width == 1:
        return array("h", ((byte - 128) << 8 for byte in data))
    upper = bytearray(2 * count)
    upper[0::2] = data[width - 2 :: width]
    upper[1::2] = data[width - 1 :: width]
    samples = array("h", bytes(upper))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _mix(stereo: array[int]) -> array[int]:
    return array("h", ((left + right) // 2 for left, right in zip(stereo[0::2], stereo[1::2], strict=False)))
