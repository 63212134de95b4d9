from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from sipbridge.simulators.caller.audio import Audio, description, direction_for, open_audio

HEADER = struct.Struct("!BBHII")
SILENCE, SPEECH = b"\xff" * 160, b"\x80" * 160


@pytest.fixture
async def audio() -> AsyncIterator[Audio]:
    audio = await open_audio("127.0.0.1")
    yield audio
    audio.close()


class Peer(asyncio.DatagramProtocol):
    """The far end of the audio: the packets that it received, as marker and payload type, timestamp and payload."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[int, int, bytes]] = asyncio.Queue()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 (there is one sender)
        _, kind, _, timestamp, _ = HEADER.unpack_from(data)
        self.received.put_nowait((kind, timestamp, data[HEADER.size :]))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    _, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    yield peer
    peer.transport.close()


def packet(sequence: int, payload: bytes, kind: int = 0) -> bytes:
    return HEADER.pack(0x80, kind, sequence & 0xFFFF, 0, 1) + payload


@pytest.mark.parametrize("first", [7, 65_534])
async def test_lost_packets_are_counted_also_when_the_sequence_number_wraps(audio: Audio, first: int) -> None:
    for number in (0, 1, 4, 3):  # 2 is lost, and 3 late
        audio.datagram_received(packet(first + number, SPEECH), None)
    assert (audio.packets, audio.lost_packets, audio.voiced_frames) == (4, 1, 4)


async def test_silence_and_other_payloads_do_not_count_as_speech(audio: Audio) -> None:
    audio.datagram_received(packet(1, SILENCE), None)
    audio.datagram_received(packet(2, SPEECH, kind=13), None)
    audio.datagram_received(b"\x80", None)
    assert (audio.packets, audio.voiced_frames, audio.first_voice) == (1, 0, None)
    assert not audio.heard.is_set()
    audio.datagram_received(packet(3, SPEECH), None)
    assert audio.first_voice is not None
    await asyncio.wait_for(audio.heard.wait(), 1)


async def test_audio_is_sent_in_frames_and_silence_after_it(audio: Audio, peer: Peer) -> None:
    audio.connect(description("127.0.0.1", peer.port))
    audio.play(b"\x01" * 240)
    running = asyncio.create_task(audio.run())
    await asyncio.wait_for(audio.sent_all(), 5)
    frames = [await asyncio.wait_for(peer.received.get(), 5) for _ in range(3)]
    running.cancel()
    assert [payload for _, _, payload in frames] == [b"\x01" * 160, b"\x01" * 80 + b"\xff" * 80, SILENCE]
    assert [timestamp for _, timestamp, _ in frames] == [0, 160, 320]


async def test_a_digit_is_one_event_with_its_end_three_times(audio: Audio, peer: Peer) -> None:
    audio.connect(description("127.0.0.1", peer.port).replace("101", "96"))
    audio.press("#")
    running = asyncio.create_task(audio.run())
    events = [await asyncio.wait_for(peer.received.get(), 5) for _ in range(7)]
    running.cancel()
    assert [kind for kind, _, _ in events] == [0x80 | 96, *[96] * 6]
    assert {timestamp for _, timestamp, _ in events} == {0}
    assert [payload[0] for _, _, payload in events] == [11] * 7
    assert [bool(payload[1] & 0x80) for _, _, payload in events] == [False] * 4 + [True] * 3
    assert [int.from_bytes(payload[2:]) for _, _, payload in events] == [160, 320, 480, 640, 800, 800, 800]


@pytest.mark.parametrize("sdp", ["", "c=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 8\n", "m=audio 9 RTP/AVP 0\n"])
async def test_an_answer_without_mulaw_audio_cannot_be_used(audio: Audio, sdp: str) -> None:
    with pytest.raises(ValueError, match=r"no G\.711 mu-law audio"):
        audio.connect(sdp)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")],
)
def test_the_direction_fits_that_of_the_offer(offered: str, answered: str) -> None:
    assert direction_for(description("127.0.0.1", 9, offered)) == answered
    assert direction_for("v=0\n") == "sendrecv"
