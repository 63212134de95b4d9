"""Recordings, ready to play: 8 kHz, mono, 16 bit, one copy in memory for all calls."""

from __future__ import annotations

import pjsua2 as pj

from sipbridge.audio import Pcm

CLOCK_RATE = 8000


def make_clip(pcm: Pcm) -> pj.Clip:
    """Bring a recording to the conference's rate."""
    samples = pcm.samples if pcm.rate == CLOCK_RATE else pj.resample(pcm.samples, pcm.rate, CLOCK_RATE)
    return pj.Clip(samples)


class ClipShelf:
    """The clips of this process, by name. On the SIP thread."""

    def __init__(self) -> None:
        self._clips: dict[str, pj.Clip] = {}

    def put(self, name: str, pcm: Pcm) -> None:
        """Add a recording, or replace it."""
        self._clips[name] = make_clip(pcm)

    def drop(self, name: str) -> None:
        """Forget a recording; who plays it plays it to its end."""
        self._clips.pop(name, None)

    def __getitem__(self, name: str) -> pj.Clip:
        return self._clips[name]
