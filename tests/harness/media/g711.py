"""Mu-law and A-law as tables (ITU-T G.711), and noise that can be found again in received audio.

Independent of the bridge's code, so that it can verify it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

PCMU, PCMA = 0, 8  # RTP payload types (RFC 3551, table 4)
RATE = 8000
FRAME_BYTES = 160  # 20 ms
MULAW_SILENCE, ALAW_SILENCE = b"\xff", b"\xd5"
_PROBE_SAMPLES = 400
_NOISE_LOUDNESS = range(400, 4000)


def _mulaw(code: int) -> int:
    code = ~code & 0xFF
    size = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -size if code & 0x80 else size


def _alaw(code: int) -> int:
    code ^= 0x55
    size, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    size = size + 0x08 if segment == 0 else size + 0x108 << segment - 1
    return size if code & 0x80 else -size


# Linear samples of 16 bit, by code.
MULAW: tuple[int, ...] = tuple(map(_mulaw, range(256)))
ALAW: tuple[int, ...] = tuple(map(_alaw, range(256)))


def _nearest(table: Sequence[int], sample: int) -> int:
    return min(range(256), key=lambda code: abs(table[code] - sample))


_NOISE_CODES = [code for code, sample in enumerate(MULAW) if abs(sample) in _NOISE_LOUDNESS]
# For `bytes.translate`.
MULAW_TO_ALAW = bytes(_nearest(ALAW, sample) for sample in MULAW)
ALAW_TO_MULAW = bytes(_nearest(MULAW, sample) for sample in ALAW)


def noise(seconds: float, seed: int = 1) -> bytes:
    """Return mu-law noise, the same for the same seed: similar only to itself, and no sample of it silence."""
    chance = random.Random(seed)  # noqa: S311 (no secret, and the same each time)
    return bytes(chance.choices(_NOISE_CODES, k=round(seconds * RATE)))


@dataclass(frozen=True, slots=True)
class Match:
    """The position of a sound in another, in samples, and their likeness: 1 for identical, 0 for unrelated sounds."""

    offset: int
    likeness: float


def best_match(sound: Sequence[int], received: Sequence[int]) -> Match:
    """Find the best match of linear samples by normalised cross-correlation."""
    probe = sound[:_PROBE_SAMPLES]
    places = range(max(1, len(received) - len(probe) + 1))
    offset = max(places, key=lambda place: sum(map(mul, probe, received[place : place + len(probe)])))
    window = received[offset : offset + len(sound)]
    energy = math.sqrt(sum(map(mul, sound, sound)) * sum(map(mul, window, window)))
    return Match(offset, sum(map(mul, sound, window)) / energy if energy else 0.0)
