"""Unusual RTP between a caller and a SIP agent, packet by packet: what one sends, and what the other receives."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.media.g711 import ALAW_TO_MULAW, FRAME_BYTES, MULAW_SILENCE, PCMA, PCMU
from tests.harness.media.rtp_peer import Packet as Received
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for
from tests.harness.worker import Worker

from .audio_site import SIP, WEBSOCKET, AudioSite, audio_site
from .crafted_rtp import Packet, audio, packet
from .two_way_audio import assert_whole_both_ways

COMFORT_NOISE = 13  # RFC 3389
MARKER = 0x80  # beside the payload type (RFC 3550, 5.1)
EXTENSION = struct.pack("!HHI", 0xBEDE, 1, 0x10AA0000)  # RFC 8285, one element of one byte
FIRST = 65533  # the sequence number of packet 0
SILENCE = MULAW_SILENCE * FRAME_BYTES
FOLLOWS = None  # a timestamp of the time when the packet was sent, shortly after the one before
MAX_PAUSE = 8000  # a second, on a busy machine
PER_SECOND, AT_ONCE = 250, 100  # the most packets that are relayed
ALAW = bytes(range(0x20, 0x20 + FRAME_BYTES))

# A packet at the receiver: its audio, and its distance from the first one in sequence and timestamp.
Expected = tuple[bytes, int, int | None]


def packets(*numbers: int) -> list[Packet]:
    return [packet(at) for at in numbers]


def relayed(*numbers: int) -> list[Expected]:
    """The packets of these numbers as they were sent."""
    return [(audio(at), at, FRAME_BYTES * at) for at in numbers]


def of_length(milliseconds: int) -> tuple[list[Packet], list[Expected]]:
    """Four packets of this length."""
    sent = [Packet(at, audio(at, milliseconds), timestamp=8 * milliseconds * at) for at in range(4)]
    return sent, [(each.audio, each.at, 8 * milliseconds * each.at) for each in sent]


CASES: dict[str, tuple[list[Packet], list[Expected]]] = {
    "in order, across the wrap of sequence and timestamp": (packets(*range(8)), relayed(*range(8))),
    "out of order": (packets(0, 2, 3, 1, 4), relayed(0, 2, 3, 1, 4)),
    "repeated": (packets(0, 1, 1, 0, 2, 2), relayed(0, 1, 2)),
    "lost": (packets(0, 2, 3), relayed(0, 2, 3)),
    "padded": ([packet(0), Packet(1, audio(1), padding=8), packet(2)], relayed(0, 1, 2)),
    "with an extension": ([packet(0), Packet(1, audio(1), extension=EXTENSION), packet(2)], relayed(0, 1, 2)),
    "mixed from others": ([packet(0), Packet(1, audio(1), contributors=(7, 8)), packet(2)], relayed(0, 1, 2)),
    "from another source": (
        [*packets(0, 1), Packet(2, audio(2), source=1, sequence=9000, timestamp=7), packet(3)],
        [*relayed(0, 1), (audio(2), 2, FOLLOWS), (audio(3), 3, FOLLOWS)],
    ),
    "restarted": (
        [*packets(0, 1), *(Packet(at, audio(at), sequence=9000 + at) for at in (2, 3))],
        [*relayed(0, 1), (audio(2), 2, FOLLOWS), (audio(3), 3, FOLLOWS)],
    ),
    "of another law": (
        [packet(0), Packet(1, ALAW, payload_type=PCMA), packet(2)],
        [*relayed(0), (ALAW.translate(ALAW_TO_MULAW), 1, FRAME_BYTES), *relayed(2)],
    ),
    "with a timestamp that jumps": (
        [packet(0), Packet(1, audio(1), timestamp=5), Packet(2, audio(2), timestamp=165)],
        [*relayed(0), (audio(1), 1, FOLLOWS), (audio(2), 2, FOLLOWS)],
    ),
    "with comfort noise": (
        [*packets(0, 1), Packet(2, b"\x40", payload_type=COMFORT_NOISE), packet(3)],
        relayed(0, 1, 3),
    ),
    "of an unknown payload type": ([packet(0), Packet(1, audio(1), payload_type=77), packet(2)], relayed(0, 2)),
    "empty": ([packet(0), Packet(1, b""), packet(2)], relayed(0, 2)),
    "of 10 ms": of_length(10),
    "of 30 ms": of_length(30),
    "of 40 ms": of_length(40),
    "of 60 ms": of_length(60),
}
MALFORMED = {
    "empty": b"",
    "of one byte": b"\x80",
    "of half a header": packet(0).encode(1, FIRST)[:11],
    "of another version": b"\x40" + packet(0).encode(1, FIRST)[1:],
    "with more sources than bytes": b"\x8f" + packet(0).encode(1, FIRST)[1:40],
    "with an extension over its end": b"\x90" + packet(0).encode(1, FIRST)[1:12] + b"\xbe\xde\xff\xff" + b"x" * 160,
    "with no bytes of padding": b"\xa0" + packet(0).encode(1, FIRST)[1:12] + b"x" * 159 + b"\x00",
    "with more padding than payload": b"\xa0" + packet(0).encode(1, FIRST)[1:12] + b"x" * 159 + b"\xff",
    "longer than a datagram of Ethernet": packet(0).encode(1, FIRST) + b"x" * 1600,
}
_sources = itertools.count(0xCA11_0000, 16)


@dataclass(frozen=True)
class Line:
    """One direction of a call in which both ends send nothing but the packets of a test."""

    sender: RtpStream
    receiver: RtpStream

    def send(self, sent: list[Packet], source: int | None = None) -> None:
        """Send packets of a source; None for a new one."""
        source = next(_sources) if source is None else source
        for each in sent:
            self.sender.send_packet(each.encode(source, FIRST))

    def since(self, before: int) -> list[Received]:
        """The packets after that many, without the silence that the bridge sends while it has none of the sender."""
        return [each for each in self.receiver.packets[before:] if each.payload != SILENCE]

    def await_packets(self, count: int, before: int) -> list[Received]:
        """Return that many packets, once they have arrived."""
        wait_for(lambda: len(self.since(before)) >= count, f"{count} packets")
        return self.since(before)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("relayed"), cxone) as running:
        yield running


@pytest.fixture(scope="module")
def lines(site: AudioSite) -> Iterator[dict[str, Line]]:
    with site.call(SIP) as call:
        assert_whole_both_ways(call, 10)
        caller, agent = call.caller, call.sip_agent
        caller.muted = agent.muted = True
        yield {"to the agent": Line(caller, agent), "to the caller": Line(agent, caller)}


@pytest.fixture(params=["to the agent", "to the caller"])
def line(lines: dict[str, Line], request: pytest.FixtureRequest) -> Line:
    return lines[request.param]


@pytest.mark.parametrize("case", CASES)
def test_packets_arrive_as_they_were_sent(line: Line, case: str) -> None:
    sent, expected = CASES[case]
    before = len(line.receiver.packets)
    line.send([*sent, packet(60)])
    got = line.await_packets(len(expected) + 1, before)
    assert got[-1].payload == audio(60)
    first = got[0]
    assert first.marker
    timestamp = 0
    for (payload, sequence, after), each in zip(expected, got[:-1], strict=True):
        assert each.payload == payload
        assert each.sequence - first.sequence & 0xFFFF == sequence
        arrived = each.timestamp - first.timestamp & 0xFFFFFFFF
        assert arrived == after if after is not None else 0 < arrived - timestamp < MAX_PAUSE
        timestamp = arrived


def test_each_leg_has_one_source_and_no_number_twice(line: Line) -> None:
    for case in ("from another source", "restarted", "lost"):
        before = len(line.receiver.packets)
        line.send(CASES[case][0])
        line.await_packets(len(CASES[case][1]), before)
    got = line.receiver.packets
    assert len({each.source for each in got}) == 1
    assert got[0].source < 0xCA11_0000 or got[0].source > next(_sources)
    assert len({each.sequence for each in got}) == len(got)


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_packet_is_dropped(line: Line, case: str) -> None:
    before = len(line.receiver.packets)
    line.sender.send_packet(MALFORMED[case])
    line.send(packets(0, 1))
    assert [each.payload for each in line.await_packets(2, before)] == [audio(0), audio(1)]


def test_a_press_passes_packet_by_packet_with_its_duration(line: Line) -> None:
    before, volume = len(line.receiver.packets), 23
    durations = [160, 320, 480, 640, 800, 800, 800]
    events = [struct.pack("!BBH", 5, (0x80 if at > 3 else 0) | volume, each) for at, each in enumerate(durations)]
    pressed = [
        Packet(2 + at, event, payload_type=line.sender.dtmf_payload_type | (MARKER if at == 0 else 0), timestamp=0)
        for at, event in enumerate(events)
    ]
    line.send([Packet(0, audio(0), timestamp=-320), Packet(1, audio(1), timestamp=-160), *pressed])
    line.send([Packet(0, audio(9))])
    got = line.await_packets(3 + len(events), before)
    assert [each.payload for each in got] == [audio(0), audio(1), *events, audio(9)]
    presses = got[2:-1]
    assert {each.payload_type for each in presses} == {line.receiver.dtmf_payload_type}
    assert {each.timestamp for each in presses} == {got[0].timestamp + 320 & 0xFFFFFFFF}
    assert [each.marker for each in presses] == [True, *[False] * (len(events) - 1)]
    assert got[-1].timestamp - presses[0].timestamp & 0xFFFFFFFF >= durations[-1]


def test_the_receiver_gets_silence_while_the_sender_sends_nothing(line: Line) -> None:
    before = len(line.receiver.packets)
    line.send(packets(0))
    wait_for(lambda: len(line.receiver.packets) >= before + 20, "silence")
    silence = line.receiver.packets[before + 10 :]
    assert {each.payload for each in silence} == {SILENCE}
    steps = {after.timestamp - each.timestamp & 0xFFFFFFFF for each, after in itertools.pairwise(silence)}
    assert all(step % 8 == 0 and step >= FRAME_BYTES for step in steps)
    assert sum(each.marker for each in silence) < len(silence) / 2


def test_a_marked_talkspurt_of_a_clock_that_stood_still_arrives_from_its_first_packet(line: Line) -> None:
    before, source = len(line.receiver.packets), next(_sources)
    line.send(packets(0), source)
    line.await_packets(1, before)
    heard = len(line.receiver.packets)
    wait_for(lambda: len(line.receiver.packets) >= heard + 5, "silence")
    line.send([Packet(1, audio(1), payload_type=PCMU | MARKER)], source)
    first, second = line.await_packets(2, before)
    assert (first.payload, second.payload, second.marker) == (audio(0), audio(1), True)
    got = line.receiver.packets
    for each, after in itertools.pairwise(got[got.index(first) : got.index(second) + 1]):
        assert after.sequence - each.sequence & 0xFFFF == 1
        assert FRAME_BYTES <= after.timestamp - each.timestamp & 0xFFFFFFFF < MAX_PAUSE


def test_a_flood_of_one_end_reaches_the_other_at_the_rate_of_a_call_and_costs_no_other_call(
    site: AudioSite, line: Line
) -> None:
    before, began = len(line.receiver.packets), time.monotonic()
    with site.call(WEBSOCKET) as other, flooding(line):
        assert_whole_both_ways(other)
    line.send([packet(90)])
    wait_for(lambda: any(each.payload == audio(90) for each in line.since(before)), "a packet after the flood")
    seconds = time.monotonic() - began
    assert len(line.since(before)) <= AT_ONCE + PER_SECOND * seconds + 1


def flooding(line: Line) -> Worker:
    """Send 5,000 packets per second in the background."""
    sequence = itertools.count()

    def send() -> None:
        for _ in range(50):
            line.sender.send_packet(Packet(0, audio(1), sequence=next(sequence)).encode(0xF100D, FIRST))

    return Worker("flood", send, lambda: 0.01)
