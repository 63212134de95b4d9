"""The tools that measure audio quality, tested with complete and with damaged audio."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import orjson
import pytest
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.harness.media.g711 import ALAW, ALAW_TO_MULAW, MULAW, MULAW_TO_ALAW, PCMA, best_match, noise
from tests.harness.media.media_agent import MediaAgent
from tests.harness.media.quality import measure_stream, measure_streams
from tests.harness.media.rtp_peer import RtpLoop, RtpStream
from tests.harness.media.stamp import ReceivedFrame, Stamp, Stamps, find_stamps, read
from tests.harness.waiting import wait_for

MS = 1_000_000
FRAMES = 25


def frame(number: int, delay_ms: float = 5, stream: int = 1) -> ReceivedFrame:
    """Return a frame of a stream that was sent at 20 ms per frame from time 0."""
    sent_ns = number * 20 * MS
    return ReceivedFrame(Stamp(stream, number, sent_ns), sent_ns + round(delay_ms * MS))


SENT = [number * 20 * MS for number in range(10)]


def test_g711_has_the_values_of_the_standard() -> None:
    assert (MULAW[0x00], MULAW[0x80], MULAW[0x7F], MULAW[0xFF]) == (-32124, 32124, 0, 0)
    assert (ALAW[0x2A], ALAW[0xAA], ALAW[0x55], ALAW[0xD5]) == (-32256, 32256, -8, 8)
    assert [MULAW[code] for code in b"\x1e\x0b\x0b\x1e\x9e\x8b\x8b\x9e"] == [
        *(-8828, -20860, -20860, -8828, 8828, 20860, 20860, 8828),  # table 6: the digital milliwatt
    ]


def test_every_frame_is_unique_and_contains_its_stream_number_and_time() -> None:
    stamps = Stamps(7)
    frames = list(itertools.islice(stamps, 100))
    assert {len(frame) for frame in frames} == {160}
    assert len(set(frames)) == 100
    assert [read(frame) for frame in frames] == [Stamp(7, n, at_ns) for n, at_ns in enumerate(stamps.sent)]


def test_a_stamp_consists_of_samples_that_survive_alaw_and_a_linear_mixer() -> None:
    frame = next(Stamps(0xFFFF))
    assert frame.translate(MULAW_TO_ALAW).translate(ALAW_TO_MULAW) == frame
    digits = b"0123456789abcdef"
    assert digits.translate(MULAW_TO_ALAW).translate(ALAW_TO_MULAW) == digits
    assert b"\x7f" not in frame


def test_a_frame_with_one_wrong_bit_has_no_stamp() -> None:
    frame = next(Stamps(1))
    for place in (0, 31, 100, 159):
        wrong = bytearray(frame)
        wrong[place] ^= 1
        assert read(bytes(wrong)) is None


@pytest.mark.parametrize("shift", [0, 1, 32, 80, 159])
def test_stamps_are_found_at_any_offset(shift: int) -> None:
    frames = list(itertools.islice(Stamps(3), 20))
    audio = b"\xff" * (800 + shift) + b"".join(frames[:10]) + b"\xff" * 400 + b"".join(frames[10:]) + b"\xff" * 200
    pieces = [(at, audio[at : at + 160]) for at in range(0, len(audio), 160)]
    found = list(find_stamps(pieces))
    assert [each.stamp.number for each in found] == list(range(20))
    ends = [800 + shift + 160 * (n + 1) + (400 if n >= 10 else 0) for n in range(20)]
    assert [each.at_ns for each in found] == [(end - 1) // 160 * 160 for end in ends]


def test_a_frame_that_is_cut_or_blended_is_found_and_is_not_whole() -> None:
    frames = list(itertools.islice(Stamps(3), 7))
    frames[2] = frames[2][40:]
    frames[4] = b"\x55" * 90 + frames[4][90:]
    frames[5] = b"\x55" * 160
    found = list(find_stamps([(0, b"".join(frames))]))
    assert [(each.stamp.number, each.whole) for each in found] == [
        *((0, True), (1, True), (2, False), (3, True), (4, False), (6, True)),
    ]
    found = list(find_stamps((0, frame) for frame in frames))
    assert [each.stamp.number for each in found if each.whole] == [0, 1, 3, 6]


def test_a_complete_stream_is_reported_as_complete() -> None:
    quality = measure_stream(SENT, [frame(number) for number in range(10)])
    assert (quality.sent, quality.lost, quality.repeated, quality.out_of_order, quality.late) == (10, 0, 0, 0, 0)
    assert quality.delay_ms(50) == quality.delay_ms(99) == 5


def test_lost_repeated_reordered_and_late_frames_are_counted() -> None:
    received = [
        *(frame(0), frame(1), frame(2, delay_ms=25.1), frame(2, delay_ms=25.2)),
        *(frame(4), frame(6), frame(5, delay_ms=26), frame(7, delay_ms=25)),
    ]
    quality = measure_stream(SENT, received)
    assert (quality.sent, quality.lost, quality.repeated, quality.out_of_order) == (10, 3, 1, 1)
    assert quality.late == 3  # the second copy of 2 counts too; 7 is just in time
    assert quality.delay_ms(99) == 26


def test_a_frame_that_arrived_in_part_is_altered_and_not_lost() -> None:
    received = [frame(number) for number in range(9)] + [replace(frame(9), whole=False)]
    quality = measure_stream(SENT, received)
    assert (quality.lost, quality.altered, quality.is_whole) == (0, 1, False)
    assert measure_stream(SENT, [*received[:9], frame(9)]).is_whole


def test_a_stamp_that_was_never_sent_is_ignored() -> None:
    received = [frame(number) for number in range(9)] + [ReceivedFrame(Stamp(1, 9, 4711), 4712)]
    assert measure_stream(SENT, received).lost == 1


def test_only_frames_sent_in_the_span_count() -> None:
    quality = measure_stream(SENT, [frame(number) for number in (0, 1, 4, 9)], 40 * MS, 120 * MS)
    assert (quality.sent, quality.lost) == (4, 3)


def test_a_stream_that_never_arrived_is_lost_and_does_not_affect_others() -> None:
    received = [frame(number, delay_ms=100, stream=2) for number in range(10)] + [frame(n, stream=3) for n in range(10)]
    quality = measure_streams({1: SENT, 2: SENT, 3: SENT}, received)
    assert (quality.sent, quality.lost, quality.late) == (30, 10, 0)


def test_a_sound_is_found_in_another_and_a_different_one_is_not() -> None:
    sound = [MULAW[code] for code in noise(0.2)]
    through_alaw = [ALAW[code] for code in noise(0.2).translate(MULAW_TO_ALAW)]
    other = [MULAW[code] for code in noise(0.6, seed=2)]
    found = best_match(sound, [*other[:777], *through_alaw, *other[:500]])
    assert found.offset == 777
    assert found.likeness > 0.99
    assert best_match(sound, other).likeness < 0.3


@pytest.fixture
def rtp() -> Iterator[RtpLoop]:
    with RtpLoop() as loop:
        yield loop


def test_audio_between_two_peers_arrives_complete(rtp: RtpLoop) -> None:
    stamps, answers = Stamps(1), Stamps(2)
    with (
        rtp.port() as one,
        rtp.port(on_stream=lambda each: each.send_frames(itertools.islice(answers, FRAMES))) as other,
    ):
        assert (one.port % 2, other.port % 2) == (0, 0)
        here = one.call(("127.0.0.1", other.port))
        here.send_frames(itertools.islice(stamps, FRAMES))
        there = other.stream()
        wait_for(lambda: len(here.stamps()) == len(there.stamps()) == FRAMES, "all frames both ways")
        assert [measure_stream(stamps.sent, there.stamps()).lost, measure_stream(answers.sent, here.stamps()).lost] == [
            0,
            0,
        ]
        assert measure_stream(stamps.sent, there.stamps()).out_of_order == 0
        assert 0 <= measure_stream(stamps.sent, there.stamps()).delay_ms(50) < 20
        packets = there.packets
        assert [p.sequence for p in packets] == list(range(len(packets)))
        assert [p.timestamp for p in packets] == [160 * n for n in range(len(packets))]
        assert {p.payload_type for p in packets} == {0}


def test_a_peer_without_queued_frames_sends_silence_in_its_law(rtp: RtpLoop) -> None:
    with rtp.port(PCMA) as one, rtp.port() as other:
        one.call(("127.0.0.1", other.port))
        there = other.stream()
        wait_for(lambda: len(there.received) >= 3, "three packets")
        assert {(p.payload_type, p.payload) for p in there.packets} == {(8, b"\xd5" * 160)}


def test_a_dtmf_digit_is_sent_once_within_the_audio(rtp: RtpLoop) -> None:
    with rtp.port() as one, rtp.port() as other:
        here = one.call(("127.0.0.1", other.port))
        here.send_frames(itertools.islice(Stamps(1), 3))
        here.send_digits("5#A")
        there = other.stream()
        wait_for(lambda: here.has_sent_all and len(there.stamps()) == 3, "all of it")
        wait_for(lambda: there.digits() == "5#A", "the DTMF digits")
        events = [p for p in there.packets if p.payload_type == 101]
        assert [p.marker for p in events] == [n % 7 == 0 for n in range(21)]
        assert len({p.timestamp for p in events}) == 3


def test_many_streams_share_a_port(rtp: RtpLoop) -> None:
    streams: list[RtpStream] = []
    with ExitStack() as ports:
        many = ports.enter_context(rtp.port(on_stream=streams.append))
        for place in range(5):
            stream = ports.enter_context(rtp.port()).call(("127.0.0.1", many.port))
            stream.send_frames(itertools.islice(Stamps(place), 5))
        wait_for(lambda: len(streams) == 5 and all(len(s.stamps()) == 5 for s in streams), "five streams")
        assert sorted({h.stamp.stream for s in streams for h in s.stamps()}) == list(range(5))
        assert all(len({h.stamp.stream for h in s.stamps()}) == 1 for s in streams)


class Bridge(WSListener):
    """A minimal client of Media Streams, in the role of Twilio."""

    def __init__(self) -> None:
        self.audio: list[tuple[int, bytes]] = []
        self.messages: list[dict[str, object]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            message = orjson.loads(frame.get_payload_as_bytes())
            if message["event"] == "media":
                assert message["streamSid"] == "MZ1"
                self.audio.append((0, base64.b64decode(message["media"]["payload"])))
            else:
                self.messages.append(message)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()


def test_the_agent_receives_audio_sends_audio_and_hangs_up() -> None:
    stamps = Stamps(1)

    async def bridge(url: str, listener: Bridge) -> None:
        transport, _ = await ws_connect(lambda: listener, url)

        def send(message: dict[str, object]) -> None:
            transport.send(WSMsgType.TEXT, orjson.dumps(message))

        send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        send({"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1"}})
        for frame in itertools.islice(stamps, 3):
            send({"event": "media", "media": {"payload": base64.b64encode(frame).decode()}})
        send({"event": "dtmf", "dtmf": {"digit": "9"}})
        send({"event": "mark", "mark": {"name": "one"}})
        await transport.wait_disconnected()

    async def connect(agent: MediaAgent, listener: Bridge) -> None:
        connected = asyncio.create_task(bridge(agent.url, listener))
        call = await asyncio.to_thread(agent.next_call)
        await asyncio.to_thread(call.wait_for, "mark")
        call.send_at_once(b"\x55" * 400)
        call.send_frames(itertools.islice(Stamps(2), 5))
        call.mark("two")
        call.clear()
        call.hand_off(destination="care")
        await asyncio.to_thread(wait_for, lambda: len(listener.audio) == 6, "all audio")
        call.hang_up()
        await connected
        assert call.stream_sid == "MZ1"
        assert measure_stream(stamps.sent, call.stamps()).lost == 0
        assert (call.digits(), list(call.marks)) == ("9", ["one"])
        await asyncio.to_thread(wait_for, lambda: call.is_closed, "the end")

    listener = Bridge()
    with MediaAgent() as agent:
        asyncio.run(connect(agent, listener))
    assert listener.audio[0] == (0, b"\x55" * 400)
    assert [each.stamp.number for each in find_stamps(listener.audio)] == [0, 1, 2, 3, 4]
    assert [message["event"] for message in listener.messages] == ["mark", "clear", "handoff"]


def test_a_far_end_that_has_sent_keeps_its_stream() -> None:
    with RtpLoop() as loop, loop.port() as one, loop.port() as other:
        one.call(("127.0.0.1", other.port))
        stream = other.stream()
        assert other.call(("127.0.0.1", one.port)) is stream
