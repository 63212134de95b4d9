"""DTMF digits as trunks send them, by INFO and as RFC 4733 events: each press reaches the agent as one digit."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.harness.media.media_agent import AgentCall, MediaAgent
from tests.harness.media.rtp import DIGITS, PAYLOAD_TYPE, media_address
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.waiting import wait_for

from .site import Contact

NUMBER = "+19995550073"
FRAME = 160
SEGMENT = 0xFFFF
RELAY, DTMF, EVENT = "application/dtmf-relay", "application/dtmf", "audio/telephone-event"

_sources = itertools.count(0xD1617)


@dataclass
class Caller:
    """A call to a WebSocket agent, and RTP that a test sends packet by packet."""

    signalling: RawCall
    agent: AgentCall
    to: tuple[str, int]
    rtp: socket.socket
    sequence: int = 0
    source: int = 0

    def info(self, kind: str, body: bytes, header: str = "Content-Type") -> bytes:
        return self.signalling.send_info(body, f"{header}: {kind}\r\n".encode() if kind else b"")

    def event(
        self, digit: str, at: int, duration: int, *, end: bool = False, marker: bool = False, late: int = 0
    ) -> None:
        """Send a packet of the event that began at a timestamp, `late` packets out of order."""
        payload = struct.pack("!BBH", DIGITS.index(digit) if digit else 16, (0x80 if end else 0) | 10, duration)
        self._send(PAYLOAD_TYPE | (0x80 if marker else 0), at, payload, self.sequence - late)

    def press(self, digit: str, at: int, *, ends: int = 3) -> None:
        """Press a DTMF digit for 60 ms; with fewer than three `ends`, the others were lost."""
        for place in range(1, 4):
            self.event(digit, at, place * FRAME, marker=place == 1)
        for _ in range(ends):
            self.event(digit, at, 3 * FRAME, end=True)
        self.sequence += 3 - ends

    def send_audio(self, at: int) -> None:
        """Send 20 ms of audio."""
        self._send(0, at, b"\xff" * FRAME, self.sequence)

    def _send(self, kind: int, at: int, payload: bytes, sequence: int) -> None:
        header = struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, at & 0xFFFF_FFFF, self.source)
        self.rtp.sendto(header + payload, self.to)
        self.sequence += 1

    def digits(self, expected: str) -> str:
        """Return the digits so far, once there are as many as expected."""
        wait_for(lambda: len(self.agent.digits()) >= len(expected), f"the digits {expected}")
        return self.agent.digits()

    def all_info_digits(self) -> str:
        """Return the digits so far. A D sent now by INFO proves that all INFOs before it were processed."""
        return self._digits_before_d(lambda: self.info(DTMF, b"D"))

    def all_rtp_digits(self) -> str:
        """Return the digits so far. A D sent now by RTP proves that all packets before it were processed."""
        return self._digits_before_d(lambda: self.press("D", 0x4000_0000))

    def _digits_before_d(self, press: Callable[[], object]) -> str:
        before = self.agent.digits().count("D")
        press()
        wait_for(lambda: self.agent.digits().count("D") > before, "the digit D")
        return self.agent.digits().removesuffix("D")


@dataclass
class Calls:
    sip: str
    agent: MediaAgent

    @contextmanager
    def one(self) -> Iterator[Caller]:
        contact = Contact.new()
        lines = (
            "From: <sip:+15550100@127.0.0.1>;tag=d\r\n"
            f"X-Auth-Token: {token('dtmf')}\r\nX-InContact-ContactId: {contact.id}\r\n"
        )
        with RawCall(self.sip, NUMBER.encode(), lines.encode()) as call, socket.socket(type=socket.SOCK_DGRAM) as rtp:
            assert call.place().status == 200
            rtp.bind(("127.0.0.1", 0))
            to = media_address(call.answer.decode())
            caller = Caller(call, self.agent.next_call(), to, rtp, source=next(_sources))
            yield caller
            call.end()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Calls]:
    folder = tmp_path_factory.mktemp("dtmf")
    with MediaAgent() as agent:
        project = project_settings("dtmf", agent={"type": "websocket", "url": agent.url})
        settings = bridge_settings(folder, {"dtmf": client_settings(NUMBER, cxone.url, {"dtmf": project})})
        with bridge(settings, folder) as running:
            yield Calls(running.sip, agent)


@pytest.fixture
def caller(calls: Calls) -> Iterator[Caller]:
    with calls.one() as caller:
        yield caller


@pytest.fixture(scope="module")
def info_caller(calls: Calls) -> Iterator[Caller]:
    """A call in which many tests send INFO."""
    with calls.one() as caller:
        yield caller


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", "5"),
        (RELAY, b"Signal=*\r\nDuration=160\r\n", "*"),
        (RELAY, b"Signal=10\r\nDuration=160\r\n", "*"),
        (RELAY, b"Signal=11\nDuration=160\n", "#"),
        (RELAY, b"Signal=12", "A"),
        (RELAY, b"Signal= 14\r\n", "C"),
        (RELAY, b"Duration = 250\r\nSIGNAL =\t7 \r\n", "7"),
        (RELAY, b"\r\nsignal:b\r\n", "B"),
        ("Application/DTMF-Relay ; charset=utf-8", b"Signal=1\r\nDuration=160", "1"),
        (DTMF, b"7", "7"),
        (DTMF, b"#\r\n", "#"),
        (DTMF, b"10", "*"),
        (DTMF, b"11\n", "#"),
        (DTMF, b" a ", "A"),
        (DTMF, b"Signal=5\r\nDuration=100\r\n", "5"),
        (EVENT, b"10", "*"),
        (EVENT, b"event=11\r\nduration=160\r\n", "#"),
        (EVENT, b"events=3", "3"),
        (EVENT, b"\x0b\x8a\x03\x20", "#"),
        (EVENT, b"\x00\x0a\x03\x20", "0"),
    ],
)
def test_a_press_by_info_is_one_digit(info_caller: Caller, kind: str, body: bytes, digit: str) -> None:
    before = info_caller.agent.digits()
    assert info_caller.info(kind, body).startswith(b"SIP/2.0 200 ")
    assert info_caller.digits(before + digit) == before + digit


def test_the_content_type_of_an_info_may_have_its_compact_form(info_caller: Caller) -> None:
    before = info_caller.agent.digits()
    assert info_caller.info(DTMF, b"9", header="c").startswith(b"SIP/2.0 200 ")
    assert info_caller.digits(before + "9") == before + "9"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("", b"", 200),
        (DTMF, b"", 200),
        (RELAY, b"Signal=16\r\nDuration=160\r\n", 200),  # flash, an event that is not a digit
        (DTMF, b"!", 200),
        ("application/x-other\r\nContent-Disposition: signal;handling=optional", b"x", 200),
        ("application/x-other", b"x", 415),
        ("multipart/mixed;boundary=b", b"--b\r\nContent-Type: application/dtmf\r\n\r\n5\r\n--b--\r\n", 415),
        ("", b"5", 400),
        (RELAY, b"Duration=160\r\n", 400),
        (RELAY, b"Signal=\r\n", 400),
        (RELAY, b"Signal=x\r\n", 400),
        (RELAY, b"Signal=256\r\n", 400),
        (RELAY, b"\xff\x00\r\n\r\n", 400),
        (DTMF, b"\x80", 400),
        (DTMF, b"99999999999999999999", 400),
        (EVENT, b"\x05\x8a\x03", 400),
        (EVENT, b"\x05\x8a\x03\x20\x00", 400),
    ],
)
def test_an_info_without_a_digit_gets_200_and_reports_no_digit(
    info_caller: Caller, kind: str, body: bytes, status: int
) -> None:
    before = info_caller.agent.digits()
    response = info_caller.info(kind, body)
    assert response.startswith(b"SIP/2.0 %d " % status)
    accepts = re.search(rb"^Accept: (.*)\r$", response, re.MULTILINE)
    assert (accepts is not None) == (status == 415)
    assert accepts is None or {RELAY, DTMF, EVENT} <= set(accepts[1].decode().split(", "))
    assert info_caller.all_info_digits() == before


def test_a_digit_sent_by_info_and_rtp_is_one_digit(info_caller: Caller) -> None:
    before = info_caller.agent.digits()
    for end, duration in ((0, 400), (0, 800), (0x80, 1200), (0, 400), (0x80, 400)):
        assert info_caller.info(EVENT, struct.pack("!BBH", 5, end | 10, duration)).startswith(b"SIP/2.0 200 ")
    assert info_caller.all_info_digits() == before + "55"


def test_a_press_is_one_digit_once_it_has_ended(caller: Caller) -> None:
    caller.event("5", 800, FRAME, marker=True)
    caller.event("5", 800, 2 * FRAME)
    caller.event("5", 800, 2 * FRAME, end=True)
    assert caller.digits("5") == "5"
    caller.event("5", 800, 2 * FRAME, end=True)
    caller.event("5", 800, 2 * FRAME, end=True)
    caller.press("5", 3200)
    assert caller.all_rtp_digits() == "55"


def test_a_press_whose_end_packets_were_lost_is_reported_when_audio_resumes(caller: Caller) -> None:
    caller.press("4", 800, ends=0)
    caller.send_audio(1600)
    caller.send_audio(1760)
    caller.press("6", 3200)
    assert caller.all_rtp_digits() == "46"


def test_a_press_whose_end_packets_were_lost_is_reported_when_no_packet_follows(caller: Caller) -> None:
    caller.press("0", 800, ends=0)
    assert caller.digits("0") == "0"
    caller.event("0", 800, 3 * FRAME, end=True)
    assert caller.all_rtp_digits() == "0"


def test_a_press_of_which_only_an_end_packet_arrives_is_a_digit(caller: Caller) -> None:
    caller.press("8", 800)
    caller.event("8", 4000, 3 * FRAME, end=True)
    assert caller.all_rtp_digits() == "88"


def test_packets_out_of_order_and_late_end_packets_report_no_digit_twice(caller: Caller) -> None:
    caller.press("2", 800)
    caller.event("3", 4000, FRAME, marker=True)
    caller.event("2", 800, 3 * FRAME, end=True, late=2)
    caller.event("3", 4000, 3 * FRAME, end=True)
    caller.event("3", 4000, 2 * FRAME, late=3)
    caller.event("2", 800, 3 * FRAME, end=True, late=5)
    assert caller.all_rtp_digits() == "23"


def test_a_press_longer_than_the_duration_field_allows_is_one_digit(caller: Caller) -> None:
    begin = 0xFFFF_FF00  # the timestamp wraps
    caller.event("7", begin, FRAME, marker=True)
    caller.event("7", begin, SEGMENT)
    caller.event("7", begin + SEGMENT, FRAME)
    caller.event("7", begin + SEGMENT, SEGMENT - 4 * FRAME)  # the last packets of this segment were lost
    caller.event("7", begin + 2 * SEGMENT, 2 * FRAME)
    caller.event("7", begin + SEGMENT, SEGMENT - 5 * FRAME, late=2)
    caller.event("7", begin + 2 * SEGMENT, 3 * FRAME, end=True)
    caller.event("7", begin + 3 * SEGMENT, FRAME, marker=True)
    caller.event("7", begin + 3 * SEGMENT, FRAME, end=True)
    assert caller.all_rtp_digits() == "77"


def test_a_second_press_of_a_digit_counts_although_the_end_of_the_first_was_lost(caller: Caller) -> None:
    caller.press("1", 800, ends=0)
    caller.press("1", 2400, ends=1)
    assert caller.all_rtp_digits() == "11"


def test_events_that_are_not_digits_are_ignored(caller: Caller) -> None:
    caller.event("", 800, FRAME, marker=True)
    caller.event("", 800, FRAME, end=True)
    assert caller.all_rtp_digits() == ""


def test_a_press_sent_as_event_and_by_info_is_one_digit(caller: Caller) -> None:
    caller.press("1", 800)
    assert caller.digits("1") == "1"
    caller.info(DTMF, b"1")
    caller.event("2", 4000, FRAME, marker=True)
    caller.info(DTMF, b"2")
    assert caller.digits("12") == "12"
    caller.event("2", 4000, 2 * FRAME, end=True)
    caller.info(DTMF, b"2")
    caller.info(DTMF, b"2")
    assert caller.all_rtp_digits() == "1222"


def test_a_flood_of_presses_reports_no_more_than_40_at_once_and_20_per_second(caller: Caller) -> None:
    began = time.monotonic()
    for number in range(300):
        caller.event(DIGITS[number % 12], 0x1000 * (number + 1), FRAME, end=True, marker=True)
    wait_for(lambda: len(caller.agent.digits()) >= 40, "40 digits")
    time.sleep(0.5)
    allowed = 40 + 20 * (time.monotonic() - began)
    assert len(caller.agent.digits()) <= allowed + 1
