"""RTP packet by packet: unusual packets of a caller, and the packets that it receives from a WebSocket agent."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media import rtp
from tests.harness.media.g711 import ALAW_TO_MULAW, MULAW_SILENCE, PCMA, noise
from tests.harness.media.media_agent import AgentCall
from tests.harness.media.rtp_peer import RtpPort, RtpStream
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .audio_site import WEBSOCKET, AudioSite, audio_site
from .crafted_rtp import Packet, audio, packet
from .rtcp import read_report, with_rtcp
from .secure_site import secure_site
from .two_way_audio import TRIES

COMFORT_NOISE = 13  # RFC 3389
EXTENSION = struct.pack("!HHI", 0xBEDE, 1, 0x10AA0000)  # RFC 8285, one element of one byte
FRAME = 160
FIRST_SEQUENCE = 65533
SILENCE = MULAW_SILENCE * FRAME


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

    agent: AgentCall
    caller: RtpStream
    port: RtpPort

    def become_silent(self) -> None:
        """Stop the caller's own audio, and wait until the agent is connected to it."""
        self.caller.muted = True
        self.agent.wait_for("media")

    def send(self, sent: Iterable[Packet], source: int) -> None:
        for each in sent:
            self.port.send(each.encode(source, FIRST_SEQUENCE), self.caller.remote)

    def received(self) -> bytes:
        return b"".join(audio for _, audio in self.agent.audio)

    def passes(self, sent: Iterable[Packet], expected: bytes) -> bool:
        """Send packets, wait for the end of the expected audio, and return True if it arrived without a gap."""
        before = len(self.received())
        self.send(sent, next(_sources))
        end = expected[-FRAME // 2 :]
        wait_for(lambda: end in self.received()[before:], "the last packet")
        return expected in self.received()[before:]


@contextmanager
def plain_line(folder: Path, cxone: Simulator) -> Iterator[Line]:
    with audio_site(folder, cxone) as site, site.rtp.port() as port, site.call(WEBSOCKET, caller=port) as call:
        yield Line(call.websocket_agent, call.caller, port)


@contextmanager
def encrypted_line(folder: Path, cxone: Simulator) -> Iterator[Line]:
    with secure_site(folder, cxone, srtp="mandatory") as site, site.call() as call:
        yield Line(call.agent, call.caller, call.rtp_port)


LINES = {"RTP": plain_line, "SRTP": encrypted_line}


@pytest.fixture(scope="module", params=LINES)
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Line]:
    with LINES[request.param](tmp_path_factory.mktemp("packets"), cxone) as line:
        line.become_silent()
        yield line


@pytest.mark.parametrize("case", CASES)
def test_packets_reach_the_agent(line: Line, case: str) -> None:
    sent, expected = CASES[case]
    # A busy machine may stop this program for so long that silence passes between two packets.
    assert any(line.passes(sent, expected) for _ in range(TRIES))


def test_a_packet_that_arrives_after_its_gap_does_not_pass(line: Line) -> None:
    source, before = next(_sources), len(line.received())
    line.send(packets(0, 2), source)
    wait_for(lambda: heard(0) + SILENCE + heard(2) in line.received()[before:], "the gap")
    line.send(packets(1, 3), source)
    wait_for(lambda: heard(3) in line.received()[before:], "the next packet")
    assert heard(1) not in line.received()[before:]


def test_a_digit_between_audio_passes_without_audio(line: Line) -> None:
    source, before, digits = next(_sources), len(line.received()), len(line.agent.digits())
    events = [
        Packet(2 + at, event, payload_type=rtp.PAYLOAD_TYPE, timestamp=8 * FRAME)
        for at, event in enumerate(rtp.digit_events("7"))
    ]
    line.send([*packets(0, 1), *events, packet(2 + len(events))], source)
    wait_for(lambda: heard(2 + len(events)) in line.received()[before:], "the audio after the digit")
    wait_for(lambda: line.agent.digits()[digits:] == "7", "the digit")
    assert heard(0) in line.received()[before:]
    assert heard(1) in line.received()[before:]


def test_the_agent_hears_silence_while_the_caller_sends_nothing(line: Line) -> None:
    before = len(line.received())
    wait_for(lambda: len(line.received()) >= before + 20 * FRAME, "400 ms of audio")
    assert set(line.received()[before:]) == {SILENCE[0]}


# ------------------------------------------------------------ what the caller receives


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("lengths"), cxone) as running:
        yield running


@pytest.mark.parametrize("milliseconds", [10, 30, 40, 60])
def test_packets_have_the_length_that_the_caller_asks_for_in_both_directions(
    site: AudioSite, milliseconds: int
) -> None:
    size, speech = 8 * milliseconds, noise(1.2)
    with (
        site.rtp.port() as port,
        site.call(WEBSOCKET, "media_ptime", caller=port, keys={"ptime": str(milliseconds)}) as call,
    ):
        line = Line(call.websocket_agent, call.caller, port)
        line.become_silent()
        assert any(line.passes(*of_length(milliseconds)) for _ in range(TRIES))
        line.agent.send_at_once(speech)
        wait_for(lambda: speech in b"".join(audio for _, audio in line.caller.audio), "the agent's speech")
        # Before the agent is connected, the conference sends 20 ms.
        packets = list(itertools.dropwhile(lambda each: len(each.payload) != size, line.caller.packets))
    assert {len(each.payload) for each in packets} == {size}
    for before, after in itertools.pairwise(packets):
        assert after.sequence == before.sequence + 1 & 0xFFFF
        # After a wait for the agent the marker is set, and the timestamp is that of the time.
        passed = after.timestamp - before.timestamp & 0xFFFFFFFF
        assert passed > size if after.marker else passed == size


def test_the_caller_gets_reports_about_its_packets(site: AudioSite) -> None:
    with with_rtcp(site.rtp) as (port, rtcp), site.call(WEBSOCKET, caller=port) as call:
        source, line = next(_sources), Line(call.websocket_agent, call.caller, port)
        line.become_silent()
        line.send(packets(*range(5), *range(6, 12)), source)
        report = read_report(rtcp)
        sent = {each.source for each in call.caller.packets}
    assert report.sender in sent
    assert report.packets_sent > 0
    assert (report.source, report.lost) == (source, 1)
    assert FIRST_SEQUENCE + 10 <= report.highest_sequence <= FIRST_SEQUENCE + 11  # 2**16 per wrap
