"""Both ends of a call send stamped audio, and each end must receive the other's complete."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.harness.media.g711 import MULAW_TO_ALAW
from tests.harness.media.quality import Quality, judge
from tests.harness.media.stamp import Stamps
from tests.harness.waiting import wait_for

from .audio_scene import Peer, TalkingCall

FRAMES = 40
_CALLER, _AGENT = 1, 2  # by the stream number in its stamps
# A busy machine may run an audio thread late now and then, but hardly five times in a row.
TRIES = 5
_ARRIVAL_MS = 300  # a frame that takes longer is lost
_DELAY_P50_MS = 100  # with jitter buffers that have grown on a late machine
_MS = 1_000_000


def assert_whole_both_ways(call: TalkingCall, frames: int = FRAMES, *, alaw: bool = False) -> None:
    """Send audio from both ends at once; try again if the machine was late."""
    for _ in range(TRIES):
        ways = _converse(call, frames, alaw=alaw)
        if all(way.is_whole for way in ways):
            break
    else:
        pytest.fail(f"audio was incomplete {TRIES} times; the last time, to agent and caller: {ways}")
    assert all(0 < way.delay_ms(50) < _DELAY_P50_MS for way in ways)


def _converse(call: TalkingCall, frames: int, *, alaw: bool) -> tuple[Quality, Quality]:
    to_agent, to_caller = Stamps(_CALLER), Stamps(_AGENT)
    said = itertools.islice(to_agent, frames)
    call.caller.say((frame.translate(MULAW_TO_ALAW) for frame in said) if alaw else said)
    call.agent.say(itertools.islice(to_caller, frames))
    return _outcome(to_agent, call.agent, frames), _outcome(to_caller, call.caller, frames)


def _outcome(stamps: Stamps, listener: Peer, frames: int) -> Quality:
    def all_is_said() -> bool:
        last = stamps.sent[-1] if len(stamps.sent) == frames else time.time_ns()
        return time.time_ns() - last > _ARRIVAL_MS * _MS

    wait_for(all_is_said, "the last frame to be sent and received")
    this_time = set(stamps.sent)
    return judge(stamps.sent, (each for each in listener.stamps() if each.stamp.sent_ns in this_time))
