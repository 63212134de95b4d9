"""WAV files of 16-bit mono samples, and lossless conversion between mu-law and linear samples."""

from __future__ import annotations

import math
import struct
import sys
import wave
from array import array
from pathlib import Path

from .g711 import MULAW, RATE

_CODES = {sample: code for code, sample in enumerate(MULAW)}
_SWEEP_HZ = (300, 3000)
_LOUDNESS = 8000
# The names and lengths of the chunks, and between them: format, channels, rate, bytes per second and sample, bits.
_HEADER = struct.Struct("<4s4x8sIHHIIHH4s4x")


def write_wav(file: Path, samples: array[int], rate: int = RATE) -> Path:
    """Write a recording; return its path."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(_little_endian(samples).tobytes())
    return file


def read_wav(file: Path) -> array[int]:
    """Read a recording. Raises `ValueError` unless it is mono with 16 bits at 8 kHz.

    It may still be written, and its header has no lengths then; `wave` would not read it.
    """
    content = file.read_bytes()
    header = _HEADER.unpack_from(content)
    if header != (b"RIFF", b"WAVEfmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data"):
        raise ValueError(f"{file}: {header}")
    samples = content[_HEADER.size :]
    return linear(samples[: len(samples) & ~1])


def linear(data: bytes) -> array[int]:
    """Unpack samples from the format of WAV files and of Pipecat's frames."""
    return _little_endian(array("h", data))


def as_linear(mulaw: bytes) -> array[int]:
    """Expand mu-law."""
    return array("h", (MULAW[code] for code in mulaw))


def as_mulaw(samples: array[int]) -> bytes:
    """Return the mu-law that expands to exactly these samples; silence for samples that mu-law cannot represent."""
    return bytes(_CODES.get(sample, 0xFF) for sample in samples)


def sweep(seconds: float, rate: int = RATE) -> array[int]:
    """Return a tone that rises through the telephone band: the same sound at every sample rate."""
    low, high = _SWEEP_HZ
    rise = (high - low) / seconds / 2
    places = (place / rate for place in range(round(seconds * rate)))
    return array("h", (round(_LOUDNESS * math.sin(2 * math.pi * (low + rise * at) * at)) for at in places))


def _little_endian(samples: array[int]) -> array[int]:
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    return samples
