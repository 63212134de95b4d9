"""Recordings, ready to be played: 8 kHz, mono, 16 bit, one copy in memory for all calls."""

from __future__ import annotations

from math import gcd

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.wav import Pcm

CLOCK_RATE = 8000


# A filter needs the samples around each one. More than the filters of libsamplerate need at 96 kHz.
_MARGIN_SAMPLES = 4096


def make_clip(pcm: Pcm, *, looped: bool = False) -> pj.Clip:
    """Make a clip of a recording. A long one takes a while; any thread may do it."""
    return pj.Clip(convert_loop(pcm) if looped else convert(pcm), looped)


def convert(pcm: Pcm) -> bytes:
    """Return the samples of a recording at the conference's rate."""
    return pcm.samples if pcm.rate == CLOCK_RATE else pj.resample(pcm.samples, pcm.rate, CLOCK_RATE)


def convert_loop(pcm: Pcm) -> bytes:
    """Return the samples of a recording that is played over and over, at the conference's rate.

    At its ends the filter must find the samples that are played before and after. With silence there, each turn would
    begin and end with a click.
    """
    if pcm.rate == CLOCK_RATE:
        return pcm.samples
    # A margin of a whole number of samples at both rates.
    step = pcm.rate // gcd(pcm.rate, CLOCK_RATE)
    margin = step * (_MARGIN_SAMPLES // step + 1)
    around = pcm.samples * (2 * margin // len(pcm.samples) + 1)
    converted = pj.resample(around[-2 * margin :] + pcm.samples + around[: 2 * margin], pcm.rate, CLOCK_RATE)
    begin = 2 * (margin * CLOCK_RATE // pcm.rate)
    return converted[begin : begin + 2 * max(1, round(pcm.seconds * CLOCK_RATE))]
