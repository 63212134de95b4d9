"""Both ends of a call send stamped audio, and each end must receive the other's complete."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.harness.media.g711 import MULAW_TO_ALAW
from tests.harness.media.quality import Quality, measure_stream
from tests.harness.media.stamp import Stamps
from tests.harness.waiting import wait_for

from .audio_site import AudioCall, Peer

FRAMES = 40
_CALLER, _AGENT = 1, 2  # by the stream number in its stamps
# A busy machine may run an audio thread late now and then, but hardly five times in a row.
TRIES = 5
_ARRIVAL_MS = 300  # a frame that takes longer is lost
_DELAY_P50_MS = 100  # with jitter buffers that have grown on a late machine
_MS = 1_000_000


def assert_whole_both_ways(call: AudioCall, frames: int = FRAMES, *, alaw: bool = False) -> None:
    """Send audio from both ends at once; try again if the machine was late."""
    for _ in range(TRIES):
        directions = _exchange_audio(call, frames, alaw=alaw)
        if all(direction.is_whole for direction in directions):
            break
    else:
        pytest.fail(f"audio was incomplete {TRIES} times; the last time, to agent and caller: {directions}")
    assert all(0 < direction.delay_ms(50) < _DELAY_P50_MS for direction in directions)


def _exchange_audio(call: AudioCall, frames: int, *, alaw: bool) -> tuple[Quality, Quality]:
    to_agent, to_caller = Stamps(_CALLER), Stamps(_AGENT)
    sent = itertools.islice(to_agent, frames)
    call.caller.send_frames((frame.translate(MULAW_TO_ALAW) for frame in sent) if alaw else sent)
    call.agent.send_frames(itertools.islice(to_caller, frames))
    return _quality(to_agent, call.agent, frames), _quality(to_caller, call.caller, frames)


def _quality(stamps: Stamps, receiver: Peer, frames: int) -> Quality:
    def all_is_sent() -> bool:
        last = stamps.sent[-1] if len(stamps.sent) == frames else time.time_ns()
        return time.time_ns() - last > _ARRIVAL_MS * _MS

    wait_for(all_is_sent, "the last frame to be sent and received")
    this_time = set(stamps.sent)
    return measure_stream(stamps.sent, (each for each in receiver.stamps() if each.stamp.sent_ns in this_time))
