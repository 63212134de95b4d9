"""Recordings, ready to be played: 8 kHz, mono, 16 bit, one copy in memory for all calls."""

from __future__ import annotations

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.wav import Pcm

CLOCK_RATE = 8000


def make_clip(pcm: Pcm) -> pj.Clip:
    """Make a clip of a recording. A long one takes a while; any thread may do it."""
    return pj.Clip(convert(pcm))


def convert(pcm: Pcm) -> bytes:
    """Return the samples of a recording at the conference's rate."""
    return pcm.samples if pcm.rate == CLOCK_RATE else pj.resample(pcm.samples, pcm.rate, CLOCK_RATE)
