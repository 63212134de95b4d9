"""Session descriptions with many lines, formats and attributes around the audio stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.harness.media.media_agent import AgentCall
from tests.harness.media.rtp_peer import RtpPort
from tests.harness.media.sdp import VIDEO, audio, description, directions, kinds, media_lines, version
from tests.harness.media.stamp import Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.sip.sip_messages import Message
from tests.harness.sip.tls_caller import TlsCaller
from tests.harness.waiting import wait_for

from .secure_site import SecureSite, secure_site

OFF = ("m=audio 0 RTP/AVP 0",)
LONG = tuple(f"a=candidate:{number} 1 UDP 1 10.0.0.1 9 typ host" for number in range(400))
FRAMES = 10
MIXED = "multipart/mixed;boundary=next"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureSite]:
    """A bridge without SRTP."""
    with secure_site(tmp_path_factory.mktemp("sdp"), cxone, srtp="disabled") as running:
        yield running


@dataclass
class Call:
    """An answered call, whose re-INVITEs offer these lines in different forms."""

    sip: TlsCaller
    agent: AgentCall
    answer: Message
    port: RtpPort
    other_port: RtpPort

    def move_to_other_port(self) -> None:
        """Send audio from the other port only."""
        first = self.port.stream()
        first.muted = True
        self.other_port.call(first.remote)

    def receives_audio_on(self, port: RtpPort) -> bool:
        """True if the agent's audio is sent to that port."""
        sent, before = Stamps(1), sum(len(stream.received) for stream in port.streams.values())
        self.agent.send_frames(itertools.islice(sent, FRAMES))
        wait_for(lambda: len(sent.sent) == FRAMES, "the agent's last frame")
        # Packets in flight have arrived once a SIP request has been answered.
        assert self.sip.options() == 200
        return sum(len(stream.received) for stream in port.streams.values()) >= before + FRAMES // 2


@contextmanager
def call(site: SecureSite, *around: tuple[str, ...]) -> Iterator[Call]:
    """Offer audio after these lines."""
    with ExitStack() as stack:
        port, other_port = (stack.enter_context(site.rtp.port()) for _ in range(2))
        connection = stack.enter_context(site.connect())
        lines = (*(each for lines in around for each in lines), *audio(port.port))
        answer, contact_id = site.invite(connection, description(lines))
        assert answer.status == 200, answer.text
        yield Call(connection, site.agent.next_call(), answer, port, other_port)
        connection.bye()
        site.project.ended_call(contact_id)


def test_audio_after_many_lines_and_formats_is_answered_in_its_position(site: SecureSite) -> None:
    many = ("m=audio 0 RTP/AVP " + " ".join(str(number) for number in range(66, 127)),)
    with call(site, *[VIDEO] * 600, many) as made:
        assert kinds(made.answer.body) == [*["-video"] * 600, "-audio", "audio"]
        assert made.receives_audio_on(made.port)


def test_audio_goes_to_a_host_name_and_an_unreachable_rtcp_address_is_ignored(site: SecureSite) -> None:
    def status(port: int) -> int:
        lines = (*audio(port), "a=rtcp:9 IN IP4 sbc.invalid")
        with site.connect() as connection:
            answer, contact_id = site.invite(connection, description(lines, connection="c=IN IP4 localhost"))
            if answer.status == 200:
                site.agent.next_call()
                connection.bye()
                site.project.ended_call(contact_id)
            return answer.status

    with site.rtp.port() as port:
        # The first call may be answered before the name is resolved.
        assert 200 in (status(port.port), status(port.port))


@pytest.mark.parametrize("method", ["reinvite", "update"])
def test_a_hold_after_many_attributes_stops_the_audio(site: SecureSite, method: str) -> None:
    with call(site) as made:
        assert made.receives_audio_on(made.port)
        ask = getattr(made.sip, method)
        held = ask(description((*audio(made.port.port), *LONG, "a=sendonly"), version=2))
        assert (held.status, directions(held.body)) == (200, ["recvonly"])
        assert not made.receives_audio_on(made.port)
        held = ask(description(audio(made.port.port), version=3, session=("a=inactive",)))
        assert directions(held.body) == ["inactive"]
        back = ask(description(audio(made.port.port), version=4))
        assert directions(back.body) == ["sendrecv"]
        assert made.receives_audio_on(made.port)


def test_audio_can_be_turned_off_turned_on_and_moved(site: SecureSite) -> None:
    with call(site, VIDEO) as made:
        own, other = audio(made.port.port), audio(made.other_port.port)
        off = made.sip.reinvite(description((*VIDEO, *OFF), version=2))
        assert kinds(off.body) == ["-video", "-audio"]
        assert not made.receives_audio_on(made.port)
        back = made.sip.update(description((*VIDEO, *own, *VIDEO), version=3))
        assert kinds(back.body) == ["-video", "audio", "-video"]
        assert made.receives_audio_on(made.port)
        moved = made.sip.reinvite(description((*other, *OFF, *VIDEO), version=4))
        assert kinds(moved.body) == ["audio", "-audio", "-video"]
        made.move_to_other_port()
        wait_for(lambda: made.receives_audio_on(made.other_port), "audio at the other port")
        assert not made.receives_audio_on(made.port)
        answers = made.answer, off, back, moved
        assert [version(each.body) - version(made.answer.body) for each in answers] == [0, 1, 2, 3]


def test_the_bridges_offer_in_a_call_has_the_media_lines_of_the_call(site: SecureSite) -> None:
    with call(site, VIDEO) as made:
        offered = made.sip.reinvite("", late=description((*VIDEO, *audio(made.other_port.port))))
        assert kinds(offered.body) == ["-video", "audio"]
        made.move_to_other_port()
        wait_for(lambda: made.receives_audio_on(made.other_port), "audio at the port of the answer")
        same = made.sip.reinvite(description((*VIDEO, *audio(made.other_port.port))))
        assert media_lines(same.body) == media_lines(offered.body)


def test_the_sdp_in_a_multipart_body_is_read(site: SecureSite) -> None:
    isup = "--next\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n\x01\x02\r\n"
    sdp = f"--next\r\nContent-Type: application/sdp\r\n\r\n{description((*VIDEO, *audio(9)))}\r\n"
    with site.connect() as connection:
        answer, contact_id = site.invite(connection, f"{isup}{sdp}--next--\r\n", kind=MIXED)
        assert (answer.status, kinds(answer.body)) == (200, ["-video", "audio"])
        site.agent.next_call()
        connection.bye()
        site.project.ended_call(contact_id)
    with site.connect() as connection:
        answer, _ = site.invite(connection, f"{isup}--next--\r\n", kind=MIXED)
        assert answer.status == 415


@pytest.mark.parametrize(
    ("sdp", "status"),
    [
        (description(VIDEO), 488),
        (description(OFF), 488),
        (description(["m=audio 9 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"]), 488),
        (description(["m=audio 99999 RTP/AVP 0"]), 400),
        (description(audio(9)).replace("s=-", "s=\0"), 400),
        (description(audio(9), connection=""), 400),
        ("no description", 400),
    ],
)
def test_an_offer_without_usable_audio_is_rejected(site: SecureSite, sdp: str, status: int) -> None:
    with site.connect() as connection:
        answer, _ = site.invite(connection, sdp)
        assert answer.status == status
