"""Recordings, ready to play: 8 kHz, mono, 16 bit, one copy in memory for all calls."""

from __future__ import annotations

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.wav import Pcm

CLOCK_RATE = 8000


def make_clip(pcm: Pcm) -> pj.Clip:
    """Bring a recording to the conference's rate. Takes a while for a long one; on any thread."""
    samples = pcm.samples if pcm.rate == CLOCK_RATE else pj.resample(pcm.samples, pcm.rate, CLOCK_RATE)
    return pj.Clip(samples)
