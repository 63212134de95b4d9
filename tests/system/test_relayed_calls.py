"""Calls whose packets are relayed to a SIP agent: our reports, hold, and the numbers of each leg."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.media.g711 import FRAME_BYTES, PCMU
from tests.harness.media.rtp_peer import Packet as Received
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for
from tests.harness.worker import Worker

from .audio_site import SIP, AudioSite, audio_site
from .crafted_rtp import Packet, audio
from .rtcp import read_report, with_rtcp
from .two_way_audio import assert_whole_both_ways

SOURCE, SPEECH, LOST_ONE_IN = 0xCA11, audio(1), 10
ON_THE_WAY = 30  # packets between a report and its arrival
DURATION_AFTER = 20 * FRAME_BYTES  # of the press after the re-INVITE
MAX_PAUSE_SECONDS = 5  # on hold


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("relayed"), cxone) as running:
        yield running


def test_reports_are_about_our_own_packets_and_those_that_we_received(site: AudioSite) -> None:
    with with_rtcp(site.rtp) as (own, rtcp), site.call(SIP, caller=own) as call, sending(call.caller) as numbers:
        call.sip_agent.muted = True
        report = read_report(rtcp)
        while not report.lost:
            report = read_report(rtcp)
        received = [each for each in call.caller.packets if each.payload_type == PCMU]
        number = numbers[-1]
    assert report.sender == received[0].source
    assert report.source == SOURCE
    assert 0 <= len(received) - report.packets_sent <= ON_THE_WAY
    assert report.bytes_sent == FRAME_BYTES * report.packets_sent
    assert abs(report.lost - number / LOST_ONE_IN) <= ON_THE_WAY / LOST_ONE_IN
    assert 0 <= (number - report.highest_sequence) % 65536 <= ON_THE_WAY


@contextmanager
def sending(stream: RtpStream) -> Iterator[list[int]]:
    """Send a packet every 20 ms in the background, except the lost ones; yield the numbers so far."""
    counter, numbers = itertools.count(), [0]

    def send() -> None:
        number = next(counter)
        if number % LOST_ONE_IN:
            stream.send_packet(Packet(0, SPEECH, timestamp=FRAME_BYTES * number).encode(SOURCE, number))
            numbers.append(number)

    with Worker("caller", send, lambda: 0.02):
        yield numbers


def test_a_leg_keeps_its_source_sequence_and_clock_after_a_hold(site: AudioSite) -> None:
    with site.call(SIP, "media_hold", pause_seconds=0.8) as call:
        assert_whole_both_ways(call, 10)
        call.wait_for_ack(3)
        assert_whole_both_ways(call, 10)
        for receiver in (call.caller, call.sip_agent):
            got = receiver.packets
            assert len({each.source for each in got}) == 1
            steps = [
                (after.sequence - each.sequence & 0xFFFF, after.timestamp - each.timestamp & 0xFFFFFFFF)
                for each, after in itertools.pairwise(got)
            ]
            assert all(0 < sequence < 3 for sequence, _ in steps), steps
            assert all(0 < timestamp < 8000 * MAX_PAUSE_SECONDS for _, timestamp in steps), steps


@pytest.mark.parametrize("presser", ["caller", "agent"])
def test_a_press_is_one_press_if_a_stream_is_recreated_within_it(site: AudioSite, presser: str) -> None:
    with (
        site.rtp.port() as new,
        site.call(SIP, "media_moves", pause_seconds=0.8, keys={"new_port": str(new.port)}) as call,
    ):
        agent, caller = [call.sip_agent], [call.caller, new.call(call.caller.remote)]
        senders, receivers = (caller, agent) if presser == "caller" else (agent, caller)
        for each in (*caller, *agent):
            each.muted = True

        def press() -> list[Received]:
            of_digits = receivers[0].dtmf_payload_type
            packets = (each for receiver in receivers for each in receiver.packets)
            return [each for each in packets if each.payload_type & 0x7F == of_digits]

        with pressing(senders) as durations:
            wait_for(press, "the press")
            call.wait_for_ack(2)
            moved = durations[-1]
            wait_for(lambda: durations[-1] > moved + DURATION_AFTER, "more of it")
        assert len({each.timestamp for each in press()}) == 1
        # A stream of the receiver that is new gets no rest of it.
        goes_on = int.from_bytes(press()[-1].payload[2:4]) > moved + DURATION_AFTER // 2
        assert goes_on == (presser == "caller")


@contextmanager
def pressing(streams: list[RtpStream]) -> Iterator[list[int]]:
    """Hold a DTMF digit, with the same packets from each stream; yield its durations so far."""
    durations = [0]

    def send() -> None:
        durations.append(durations[-1] + FRAME_BYTES)
        event = struct.pack("!BBH", 5, 10, durations[-1])
        kind = streams[0].dtmf_payload_type
        press = Packet(0, event, payload_type=kind, timestamp=0, sequence=len(durations))
        for each in streams:
            each.send_packet(press.encode(SOURCE, 0))

    with Worker("press", send, lambda: 0.02):
        yield durations
