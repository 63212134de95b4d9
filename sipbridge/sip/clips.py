"""Recordings, ready to play: 8 kHz, mono, 16 bit, one copy in memory for all calls."""

from __future__ import annotations

from pathlib import Path

import pjsua2 as pj

from sipbridge.audio import Pcm

CLOCK_RATE = 8000


def make_clip(pcm: Pcm) -> pj.Clip:
    """Bring a recording to the conference's rate."""
    samples = pcm.samples if pcm.rate == CLOCK_RATE else pj.resample(pcm.samples, pcm.rate, CLOCK_RATE)
    return pj.Clip(samples)


class ClipShelf:
    """The clips of this process, by the file they came from. On the SIP thread."""

    def __init__(self) -> None:
        self._clips: dict[Path, pj.Clip] = {}

    def put(self, path: Path, pcm: Pcm) -> None:
        """Add a recording, or replace it."""
        self._clips[path] = make_clip(pcm)

    def __getitem__(self, path: Path) -> pj.Clip:
        return self._clips[path]
