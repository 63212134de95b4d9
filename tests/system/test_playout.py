"""The audio of a WebSocket agent as the caller receives it: without gaps, also if the agent speaks with jitter."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.media.g711 import noise
from tests.harness.media.rtp_peer import Packet
from tests.harness.media.stamp import ReceivedFrame, Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .audio_site import WEBSOCKET, AudioCall, AudioSite, audio_site
from .two_way_audio import TRIES

FRAME_SECONDS = 0.02
# Every second frame is late by so much, and then the next one comes with it.
JITTER_SECONDS = 0.045
SENTENCE_FRAMES = 10
PAUSE_SECONDS = 0.4
DELAY = "sipbridge_media_playout_delay_seconds"
LEAST_DELAY, LEARNED_DELAY = 0.005, 0.02
MS = 1_000_000
G722 = 9  # RFC 3551, 6
LOUD_CODES = 60  # in a packet of G722: silence soon has few different codes


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("playout"), cxone) as running:
        yield running


def speak(call: AudioCall, stamps: Stamps) -> list[ReceivedFrame]:
    """Let the agent speak a sentence with jitter; return its frames once the caller has all of them."""
    began, before = time.monotonic(), len(call.caller.stamps())
    for number in range(SENTENCE_FRAMES):
        at = began + number * FRAME_SECONDS + (JITTER_SECONDS if number % 2 else 0)
        time.sleep(max(0, at - time.monotonic()))
        call.websocket_agent.send_at_once(next(stamps))
    wait_for(lambda: len(call.caller.stamps()) == before + SENTENCE_FRAMES, "the sentence")
    return call.caller.stamps()[before:]


def gaps(call: AudioCall, sentence: list[ReceivedFrame]) -> list[Packet]:
    """Return the packets after a wait within a sentence."""
    first, last = sentence[0].at_ns, sentence[-1].at_ns
    return [packet for packet in call.caller.packets if first < packet.at_ns <= last and packet.marker]


def test_jitter_of_an_agent_leaves_no_gaps_once_the_delay_has_grown(site: AudioSite) -> None:
    stamps = Stamps(4)
    with site.call(WEBSOCKET) as call:
        wait_for(lambda: site.bridge.metrics().value(DELAY) == pytest.approx(LEAST_DELAY), "the least delay")
        first = speak(call, stamps)
        assert gaps(call, first)
        wait_for(lambda: site.bridge.metrics().value(DELAY) > LEARNED_DELAY, "the delay in the metric")
        for _ in range(TRIES):
            time.sleep(PAUSE_SECONDS)
            if not gaps(call, speak(call, stamps)):
                break
        else:
            pytest.fail(f"gaps in {TRIES} sentences")
        numbers = [frame.stamp.number for frame in call.caller.stamps()]
    assert numbers == list(range(len(numbers)))


def test_a_frame_after_an_underrun_is_sent_at_once(site: AudioSite) -> None:
    stamps, delays = Stamps(5), []
    with site.call(WEBSOCKET) as call:
        for _ in range(TRIES):
            before = len(call.caller.stamps())
            call.websocket_agent.send_at_once(b"".join(itertools.islice(stamps, 2)))
            time.sleep(0.08)  # 40 ms of speech, and 40 ms without
            call.websocket_agent.send_at_once(next(stamps))
            wait_for(lambda: len(call.caller.stamps()) == before + 3, "the frame")  # noqa: B023 (it does not outlive the iteration)
            last = call.caller.stamps()[-1]
            delays.append((last.at_ns - last.stamp.sent_ns) / MS)
            time.sleep(PAUSE_SECONDS)
    # The tick of 5 ms, and the way to the clock.
    assert min(delays) < 10, delays


def test_speech_to_a_caller_with_g722_has_no_gaps(tmp_path: Path, cxone: Simulator) -> None:
    seconds = 2.0
    with audio_site(tmp_path, cxone, codecs=["G722"]) as site, site.call(WEBSOCKET, payload_type=G722) as call:
        call.websocket_agent.send_at_once(noise(seconds))
        call.websocket_agent.mark("end")
        call.websocket_agent.wait_for("mark")
        packets = [packet for packet in call.caller.packets if packet.payload_type == G722]
    loud = [place for place, packet in enumerate(packets) if len(set(packet.payload)) > LOUD_CODES]
    assert loud[-1] - loud[0] <= seconds / FRAME_SECONDS + 1
    assert len(loud) >= seconds / FRAME_SECONDS - 2
