"""Audio through the bridge: what one end sends must arrive at the other."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.harness.media.g711 import ALAW, MULAW, MULAW_SILENCE, MULAW_TO_ALAW, PCMA, best_match, noise
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.media.stamp import Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .audio_site import SIP, WEBSOCKET, AudioCall, AudioSite, Peer, audio_site
from .two_way_audio import TRIES, assert_whole_both_ways

ALL_CODES = bytes(range(256)) * 5  # eight frames
CLEAR_MS = 40
MARK_MS = 60  # 40 promised, and 20 for one tick of the test's own clock
MS = 1_000_000
SILENCE = MULAW_SILENCE * 160

both_agents = pytest.mark.parametrize("kind", [SIP, WEBSOCKET])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("audio"), cxone) as running:
        yield running


def frames_of(audio: bytes) -> list[bytes]:
    return [audio[at : at + 160] for at in range(0, len(audio), 160)]


def received_by(stream: RtpStream) -> bytes:
    return b"".join(audio for _, audio in stream.audio)


def received_by_agent(call: AudioCall) -> bytes:
    return b"".join(audio for _, audio in call.websocket_agent.audio)


def has_received_digits(receiver: Peer, digits: str) -> bool:
    """True if these DTMF digits arrived, and audio after them: a digit's packets replace audio (RFC 4733, 2.5.1.2)."""
    if isinstance(receiver, RtpStream) and receiver.packets[-1].payload_type == receiver.dtmf_payload_type:
        return False
    return receiver.digits() == digits


@both_agents
def test_audio_arrives_complete_in_order_and_in_time_in_both_directions(site: AudioSite, kind: str) -> None:
    with site.call(kind) as call:
        assert_whole_both_ways(call)


@both_agents
def test_audio_of_an_alaw_caller_is_converted_in_both_directions(site: AudioSite, kind: str) -> None:
    with site.call(kind, payload_type=PCMA) as call:
        assert_whole_both_ways(call, alaw=True)
        assert {packet.payload_type for packet in call.caller.packets} == {PCMA}


def test_a_websocket_agent_receives_every_mulaw_code_unchanged(site: AudioSite) -> None:
    with site.call(WEBSOCKET) as call:
        call.caller.send_frames(frames_of(ALL_CODES) * TRIES)
        wait_for(lambda: ALL_CODES in received_by_agent(call), "all 256 codes, bit for bit")


def test_a_websocket_agent_receives_every_alaw_code_as_the_nearest_mulaw_code(site: AudioSite) -> None:
    sent = noise(0.1).translate(MULAW_TO_ALAW) + ALL_CODES
    samples = [ALAW[code] for code in sent]

    def is_near(sample: int, received: int) -> bool:
        return abs(sample - received) <= (abs(sample) + 132) / 16  # one step of mu-law (G.711, table 2)

    with site.call(WEBSOCKET, payload_type=PCMA) as call:
        for _ in range(TRIES):
            before = len(received_by_agent(call))
            call.caller.send_frames(frames_of(sent))
            wait_for(lambda: len(received_by_agent(call)) > before + len(sent) + 2400, "what was sent, and some more")  # noqa: B023 (it does not outlive the iteration)
            received = [MULAW[code] for code in received_by_agent(call)[before:]]
            found = best_match(samples, received)
            if all(map(is_near, samples, received[found.offset :])):
                break
        else:
            pytest.fail(f"audio was not near enough {TRIES} times, the last time with a likeness of {found.likeness}")


def test_a_caller_receives_all_audio_that_a_websocket_agent_sends_at_once(site: AudioSite) -> None:
    sent = noise(1.5)
    with site.call(WEBSOCKET) as call:
        call.websocket_agent.send_at_once(sent)
        wait_for(lambda: sent in received_by(call.caller), "all of it, bit for bit")


def test_clear_silences_the_agent_at_once_and_returns_its_marks(site: AudioSite) -> None:
    with site.call(WEBSOCKET) as call:
        delays = [clear_delays_ms(call, f"mark {turn}") for turn in range(TRIES)]
        assert min(silence for silence, _ in delays) < CLEAR_MS
        assert min(mark for _, mark in delays) < CLEAR_MS
        assert_whole_both_ways(call, 10)  # audio sent afterwards arrives


def clear_delays_ms(call: AudioCall, mark: str) -> tuple[float, float]:
    """Interrupt an agent; return how long the caller's audio and the agent's mark take after it."""
    agent, sent, before = call.websocket_agent, noise(4), len(received_by(call.caller))
    agent.send_at_once(sent)
    agent.mark(mark)
    wait_for(lambda: sent[:1600] in received_by(call.caller)[before:], "the agent's first audio")
    cleared_ns = time.time_ns()
    agent.clear()
    wait_for(lambda: mark in agent.marks, "the mark")

    def is_silent() -> bool:
        return all(audio == SILENCE for _, audio in call.caller.audio[-15:])

    wait_for(is_silent, "300 ms of silence")
    last_word_ns = max(at_ns for at_ns, audio in call.caller.audio if audio != SILENCE)
    return (last_word_ns - cleared_ns) / MS, (agent.marks[mark] - cleared_ns) / MS


def test_marks_come_back_when_the_audio_before_them_has_played(site: AudioSite) -> None:
    stamps, names = Stamps(5), [f"part {part}" for part in range(5)]
    with site.call(WEBSOCKET) as call:
        agent = call.websocket_agent
        for name in names:
            agent.send_at_once(b"".join(itertools.islice(stamps, 10)))
            agent.mark(name)
        agent.wait_for("mark", len(names))
        wait_for(lambda: len(call.caller.stamps()) == 50, "all parts")
        played_ns = {each.stamp.number: each.at_ns for each in call.caller.stamps()}
        lates_ms = [(agent.marks[name] - played_ns[10 * part + 9]) / MS for part, name in enumerate(names)]
        assert list(agent.marks) == names
        assert -20 < statistics.median(lates_ms) < MARK_MS


@both_agents
def test_audio_goes_on_after_a_hold(site: AudioSite, kind: str) -> None:
    with site.call(kind, "media_hold", pause_seconds=0.8) as call:
        assert_whole_both_ways(call, 10)
        call.wait_for_ack(3)
        assert_whole_both_ways(call, 25)


@both_agents
def test_dtmf_digits_from_the_caller_reach_a_websocket_agent_once_each(site: AudioSite, kind: str) -> None:
    with site.call(kind) as call:
        call.caller.send_digits("15#")
        wait_for(lambda: has_received_digits(call.agent, "15#"), "the DTMF digits")
        assert_whole_both_ways(call, 10)
        assert call.agent.digits() == "15#"


@both_agents
def test_a_dtmf_digit_that_the_caller_sends_by_info_reaches_the_agent(site: AudioSite, kind: str) -> None:
    with site.call(kind, "media_info", pause_seconds=0.5) as call:
        wait_for(lambda: call.agent.digits() == "5", "the DTMF digit")


def test_dtmf_digits_from_a_sip_agent_reach_the_caller_once_each(site: AudioSite) -> None:
    with site.call(SIP) as call:
        call.sip_agent.send_digits("7*")
        wait_for(lambda: has_received_digits(call.caller, "7*"), "the DTMF digits")
        assert_whole_both_ways(call, 10)
        assert call.caller.digits() == "7*"
