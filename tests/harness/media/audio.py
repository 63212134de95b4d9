"""Recordings for agents that only wait."""

from __future__ import annotations

import wave
from pathlib import Path

_RATE = 8000


def write_silence(file: Path, seconds: int) -> None:
    """Write a WAV file of silence: 8 kHz, mono, 16 bit."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes(bytes(2 * _RATE * seconds))
