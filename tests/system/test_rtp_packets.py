"""Unusual RTP of a caller, packet by packet, and the audio that a WebSocket agent receives."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from tests.harness.media import rtp
from tests.harness.media.g711 import ALAW_TO_MULAW, MULAW_SILENCE, PCMA, PCMU
from tests.harness.media.rtp_peer import RtpPort
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .audio_site import WEBSOCKET, AudioCall, audio_site

COMFORT_NOISE = 13  # RFC 3389
EXTENSION = struct.pack("!HHI", 0xBEDE, 1, 0x10AA0000)  # RFC 8285, one element of one byte
FRAME = 160
SILENCE = MULAW_SILENCE * FRAME


@dataclass(frozen=True)
class Packet:
    """A packet of RTP (RFC 3550, 5.1); `at` is its number, which makes sequence, timestamp and audio."""

    at: int
    audio: bytes
    payload_type: int = PCMU
    timestamp: int | None = None
    padding: int = 0
    extension: bytes = b""
    contributors: tuple[int, ...] = ()
    source: int = 0  # added to that of the case
    sequence: int | None = None

    def encode(self, source: int, first: int) -> bytes:
        """The bytes on the wire; `first` is the sequence number of packet 0."""
        flags = 0x80 | (0x20 if self.padding else 0) | (0x10 if self.extension else 0) | len(self.contributors)
        sequence = (first + self.at if self.sequence is None else self.sequence) & 0xFFFF
        timestamp = (
            0xFFFFFFFF - 2 * FRAME + FRAME * self.at if self.timestamp is None else self.timestamp
        ) & 0xFFFFFFFF
        header = struct.pack("!BBHII", flags, self.payload_type, sequence, timestamp, source + self.source)
        contributors = b"".join(struct.pack("!I", each) for each in self.contributors)
        padding = bytes(self.padding - 1) + bytes([self.padding]) if self.padding else b""
        return header + contributors + self.extension + self.audio + padding


def audio(at: int, milliseconds: int = 20) -> bytes:
    """The audio of packet `at`, unlike that of all others."""
    return bytes([0x20 + at]) * (8 * milliseconds)


def packet(at: int) -> Packet:
    return Packet(at, audio(at))


def packets(*numbers: int) -> list[Packet]:
    return [packet(at) for at in numbers]


def heard(*numbers: int) -> bytes:
    return b"".join(map(audio, numbers))


def of_length(milliseconds: int) -> tuple[list[Packet], bytes]:
    """Four packets of this length, and their audio."""
    sent = [Packet(at, audio(at, milliseconds), timestamp=8 * milliseconds * at) for at in range(4)]
    return sent, b"".join(each.audio for each in sent)


ALAW = bytes(range(0x20, 0x20 + FRAME))
CASES: dict[str, tuple[Iterable[Packet], bytes]] = {
    "in order, across the wrap of sequence and timestamp": (packets(*range(8)), heard(*range(8))),
    "out of order": (packets(0, 2, 3, 1, 4), heard(*range(5))),
    "repeated": (packets(0, 1, 1, 0, 2, 2), heard(0, 1, 2)),
    "lost": (packets(0, 2, 3), heard(0) + SILENCE + heard(2, 3)),
    "padded": ([packet(0), Packet(1, audio(1), padding=8), packet(2)], heard(0, 1, 2)),
    "with an extension": ([packet(0), Packet(1, audio(1), extension=EXTENSION), packet(2)], heard(0, 1, 2)),
    "mixed from others": ([packet(0), Packet(1, audio(1), contributors=(7, 8)), packet(2)], heard(0, 1, 2)),
    "from another source": (
        [*packets(0, 1), *(Packet(at, audio(at), source=1, sequence=9000 + at) for at in (2, 3))],
        heard(0, 1, 2, 3),
    ),
    "restarted": ([*packets(0, 1), *(Packet(at, audio(at), sequence=9000 + at) for at in (2, 3))], heard(0, 1, 2, 3)),
    "of another law": (
        [packet(0), Packet(1, ALAW, payload_type=PCMA), packet(2)],
        heard(0) + ALAW.translate(ALAW_TO_MULAW) + heard(2),
    ),
    "with a timestamp that jumps": ([packet(0), Packet(1, audio(1), timestamp=5), packet(2)], heard(0, 1, 2)),
    "with comfort noise": ([*packets(0, 1), Packet(2, b"\x40", payload_type=COMFORT_NOISE), packet(3)], heard(0, 1)),
    "of an unknown payload type": ([packet(0), Packet(1, audio(1), payload_type=77), packet(2)], heard(0)),
    "empty": ([packet(0), Packet(1, b""), packet(2)], heard(0)),
    "of 10 ms": of_length(10),
    "of 30 ms": of_length(30),
    "of 40 ms": of_length(40),
    "of 60 ms": of_length(60),
}
_sources = itertools.count(0xCA11_0000, 16)


@dataclass(frozen=True)
class Line:
    """A call whose caller sends nothing but the packets of a test."""

    call: AudioCall
    port: RtpPort

    def send(self, sent: Iterable[Packet], source: int) -> None:
        for each in sent:
            self.port.send(each.encode(source, 65533), self.call.caller.remote)

    def received(self) -> bytes:
        return b"".join(audio for _, audio in self.call.websocket_agent.audio)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("packets")
    with audio_site(folder, cxone) as site, site.rtp.port() as port, site.call(WEBSOCKET, caller=port) as call:
        call.caller.muted = True
        yield Line(call, port)


@pytest.mark.parametrize("case", CASES)
def test_packets_reach_the_agent(line: Line, case: str) -> None:
    sent, expected = CASES[case]
    before = len(line.received())
    line.send(sent, next(_sources))
    wait_for(lambda: expected in line.received()[before:], f"the audio of packets {case}")


def test_a_packet_that_arrives_after_its_gap_does_not_pass(line: Line) -> None:
    source, before = next(_sources), len(line.received())
    line.send(packets(0, 2), source)
    wait_for(lambda: heard(0) + SILENCE + heard(2) in line.received()[before:], "the gap")
    line.send(packets(1, 3), source)
    wait_for(lambda: heard(3) in line.received()[before:], "the next packet")
    assert heard(1) not in line.received()[before:]


def test_a_digit_between_audio_passes_without_audio(line: Line) -> None:
    source, before, digits = next(_sources), len(line.received()), len(line.call.agent.digits())
    events = [
        Packet(2 + at, event, payload_type=rtp.PAYLOAD_TYPE, timestamp=8 * FRAME)
        for at, event in enumerate(rtp.digit_events("7"))
    ]
    line.send([*packets(0, 1), *events, packet(2 + len(events))], source)
    wait_for(lambda: heard(2 + len(events)) in line.received()[before:], "the audio after the digit")
    wait_for(lambda: line.call.agent.digits()[digits:] == "7", "the digit")
    assert heard(0, 1) in line.received()[before:]


def test_the_agent_hears_silence_while_the_caller_sends_nothing(line: Line) -> None:
    before = len(line.received())
    wait_for(lambda: len(line.received()) >= before + 20 * FRAME, "400 ms of audio")
    assert set(line.received()[before:]) == {SILENCE[0]}
