"""Session descriptions on their way to PJSIP and from it."""

from __future__ import annotations

import random
import re
import time

import pytest
from sipbridge_pjsip import pjsua2 as pj

from tests.harness.media.sdp import VIDEO, audio, description, directions, kinds, media_lines, version

DISABLED, OPTIONAL, MANDATORY = range(3)
KEY = "A" * 40
SUITE = "AES_CM_128_HMAC_SHA1_80"
GOOD = f"a=crypto:1 {SUITE} inline:{KEY}"
BAD = f"a=crypto:1 {SUITE} inline:{KEY}|2^31|1:4"
PLAIN, SECURE = "RTP/AVP", "RTP/SAVP"
OWN_PORT = 20000
LONGEST_BODY = 65_000


class Peer:
    """The bridge's side of one dialog."""

    def __init__(self, srtp: int = DISABLED, codecs: str = "PCMU PCMA G722") -> None:
        self._exchange = pj.OfferAnswer(srtp, codecs)
        self._number = 0
        self._direction = "sendrecv"

    def offered(self, *lines: str, session: tuple[str, ...] = (), connection: str = "c=IN IP4 127.0.0.1") -> str:
        """Return the part of an offer that PJSIP gets."""
        return self.reads(description(lines, session=session, connection=connection))

    def reads(self, sdp: str) -> str:
        """Return the part of an offer in text form that PJSIP gets."""
        self._number += 1
        return self._exchange.readOffer(sdp.encode(), self._number).decode()

    def answers(self, port: int = OWN_PORT, *lines: str) -> str:
        """Return PJSIP's answer to the last offer as the far end gets it."""
        return self._exchange.writeAnswer(self._own(port, lines), self._number).decode()

    def offers(self, port: int = OWN_PORT, *lines: str) -> str:
        """Return an offer of PJSIP as the far end gets it."""
        return self._exchange.writeOffer(self._own(port, lines)).decode()

    def answered(self, *lines: str) -> str:
        """Return the part of an answer that PJSIP gets."""
        return self._exchange.readAnswer(description(lines).encode()).decode()

    def _own(self, port: int, lines: tuple[str, ...]) -> bytes:
        return description((*audio(port), *lines), version=70).encode()


# ---------------------------------------------------------------- the line that is served


@pytest.mark.parametrize("place", [0, 1, 3, 29])
def test_audio_is_served_in_any_line(place: int) -> None:
    peer = Peer()
    lines: list[tuple[str, ...]] = [VIDEO] * 30
    lines[place] = audio(4000)
    assert media_lines(peer.offered(*sum(lines, ()))) == ["audio 4000"]
    answer = peer.answers()
    assert kinds(answer) == ["-video"] * place + ["audio"] + ["-video"] * (29 - place)
    assert media_lines(answer)[place] == f"audio {OWN_PORT}"


def test_a_rejected_line_repeats_kind_protocol_and_a_format() -> None:
    peer = Peer()
    peer.offered(
        "m=application 5006 UDP/BFCP *", *audio(4000), "m=text 5010 RTP/AVP 98 97", "m=message 5012 TCP/MSRP *"
    )
    answer = peer.answers()
    assert "m=application 0 UDP/BFCP *\r\nm=audio" in answer
    assert answer.endswith("m=text 0 RTP/AVP 98\r\nm=message 0 TCP/MSRP *\r\n")


def test_our_formats_are_found_among_any_number_of_others() -> None:
    others = [f"a=rtpmap:{number} CODEC-{number}/16000" for number in range(66, 120)]
    numbers = " ".join(str(number) for number in range(66, 120))
    heard = Peer().offered(f"m=audio 4000 {PLAIN} {numbers} 121 8 0 8 97", *others, "a=rtpmap:121 telephone-event/8000")
    assert f"m=audio 4000 {PLAIN} 121 8 0\r\n" in heard
    assert "CODEC" not in heard


@pytest.mark.parametrize(
    ("formats", "attributes", "kept"),
    [
        ("97 98", ("a=rtpmap:97 pcmu/8000/1", "a=rtpmap:98 PCMA/8000"), "97 98"),
        ("97 0", ("a=rtpmap:97 PCMU/16000",), "0"),
        ("97 0", ("a=rtpmap:97 PCMU/8000/2",), "0"),
        ("9 0", ("a=rtpmap:9 G722/8000",), "9 0"),
        ("18 0", ("a=rtpmap:18 PCMU/8000", "a=rtpmap:0 PCMU/8000"), "0"),
        ("0 8", ("a=rtpmap:0 opus/48000/2",), "8"),
        ("97 98 0", (), "0"),
        ("128 99999999999 -1 0x0 0", (), "0"),
        ("111", ("a=rtpmap:111 opus/48000/2",), "19"),
        ("101", ("a=rtpmap:101 telephone-event/8000",), "19"),
    ],
)
def test_formats_are_known_by_number_or_name(formats: str, attributes: tuple[str, ...], kept: str) -> None:
    assert f"m=audio 4000 {PLAIN} {kept}\r\n" in Peer().offered(f"m=audio 4000 {PLAIN} {formats}", *attributes)


def test_codecs_that_are_not_configured_are_not_served() -> None:
    heard = Peer(codecs="PCMA").offered(*audio(4000), "m=audio 4002 RTP/AVP 8")
    assert media_lines(heard) == ["audio 4002"]


def test_pjsip_gets_no_attribute_that_it_does_not_use() -> None:
    candidates = [f"a=candidate:{number} 1 UDP 1 10.0.0.1 5000 typ host" for number in range(500)]
    heard = Peer().offered(*audio(4000), "b=AS:64", *candidates, "a=ptime:30", "a=rtcp:4005", "a=mid:1", "a=sendonly")
    wanted = ["a=rtpmap:101 telephone-event/8000", "a=ptime:30", "a=rtcp:4005", "a=sendonly"]
    assert heard.split("\r\n")[6:-1] == wanted


@pytest.mark.parametrize(
    ("session", "own", "meant"),
    [
        ((), (), "sendrecv"),
        (("a=sendonly",), (), "sendonly"),
        (("a=inactive",), ("a=sendrecv",), "sendrecv"),
        ((), ("a=recvonly ",), "recvonly"),
        ((), ("a=sendrecv", "a=sendonly"), "sendonly"),
        ((), ("a=recvonly", "a=sendonly"), "inactive"),
    ],
)
def test_the_direction_of_the_session_is_that_of_lines_without_one(
    session: tuple[str, ...], own: tuple[str, ...], meant: str
) -> None:
    assert directions(Peer().offered(*VIDEO, "a=inactive", *audio(4000), *own, session=session)) == [meant]


def test_the_address_is_that_of_the_line_else_of_the_session() -> None:
    assert "c=IN IP4 10.0.0.9\r\n" in Peer().offered(*VIDEO, *audio(4000), "c=IN IP4 10.0.0.9")
    assert "c=IN IP4 127.0.0.1\r\n" in Peer().offered(*VIDEO, "c=IN IP4 10.0.0.9", *audio(4000))
    assert "c=" not in Peer().offered(*VIDEO, "c=IN IP4 10.0.0.9", *audio(4000), connection="")


@pytest.mark.parametrize("written", ["c=in ip4 10.0.0.9", "c=IN  IP4   10.0.0.9 ", "c= IN\tIP4 10.0.0.9"])
def test_pjsip_gets_an_address_in_one_form(written: str) -> None:
    assert "c=IN IP4 10.0.0.9\r\n" in Peer().offered(*audio(4000), connection=written)
    assert "c=IN IP4 10.0.0.9\r\n" in Peer().offered(*audio(4000), written, connection="c=IN IP6 ::1")
    assert "c=IN IP6 ::1\r\n" in Peer().offered(*audio(4000), connection="c=in ip6 ::1")


@pytest.mark.parametrize("written", ["c=IN IP4", "c=", "c=TN RFC2543 1"])
def test_an_address_of_another_form_reaches_pjsip_unchanged(written: str) -> None:
    assert f"{written}\r\n" in Peer().offered(*audio(4000), connection=written)


@pytest.mark.parametrize(
    ("connection", "written", "given"),
    [
        ("IN IP4 10.0.0.9", "4005", "4005"),
        ("IN IP4 10.0.0.9", " 4005", "4005"),
        ("IN IP4 10.0.0.9", "4005 IN IP4 10.0.0.8", "4005 IN IP4 10.0.0.8"),
        ("IN IP4 10.0.0.9", "4005  in ip4 10.0.0.8", "4005 IN IP4 10.0.0.8"),
        ("IN IP6 ::1", "4005 IN IP6 ::2", "4005 IN IP6 ::2"),
        ("IN IP6 ::1", "4005 IN IP4 10.0.0.8", None),
        ("IN IP4 10.0.0.9", "4005 IN IP6 ::2", None),
        ("IN IP4 10.0.0.9", "4005 IN IP4 host.name", None),
        ("IN IP4 10.0.0.9", "4005 IN IP4 10.0.0.8/127", None),
        ("IN IP4 10.0.0.9", "4005 IN IP4", None),
        ("IN IP4 10.0.0.9", "4005 IN IP4 10.0.0.8 10.0.0.7", None),
        ("IN IP4 10.0.0.9", "4005 XX IP4 10.0.0.8", None),
        ("IN IP4 10.0.0.9", "0", None),
        ("IN IP4 10.0.0.9", "70000", None),
        ("IN IP4 10.0.0.9", "-1", None),
        ("IN IP4 10.0.0.9", "x", None),
        ("IN IP4 10.0.0.9", "", None),
    ],
)
def test_an_unusable_rtcp_port_is_ignored(connection: str, written: str, given: str | None) -> None:
    heard = Peer().offered(*audio(4000), f"a=rtcp:{written}", connection=f"c={connection}")
    assert re.findall(r"^a=rtcp:(.*?)\r$", heard, re.MULTILINE) == ([] if given is None else [given])


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("o=", "o=- 1234567890123456789012345 1 IN IP4 127.0.0.1"),
        ("o=", "o=- -1 x in ip4 127.0.0.1"),
        ("o=", "o=a b  1 1 IN IP4"),
        ("o=", "o="),
        ("s=", "s="),
        ("s=", "s= "),
        ("s=", None),
        ("t=", "t=x"),
        ("t=", None),
    ],
)
def test_origin_name_and_time_may_have_any_form(line: str, written: str | None) -> None:
    offer = description(audio(4000))
    own = [each if each[:2] != line else written for each in offer.splitlines()]
    assert Peer().reads("\r\n".join(each for each in own if each is not None)) == Peer().reads(offer)


def test_a_description_without_an_origin_reaches_pjsip_without_one() -> None:
    heard = Peer().reads(description(audio(4000)).replace("o=peer 1 1 IN IP4 127.0.0.1\r\n", ""))
    assert "o=" not in heard


def test_of_two_lines_that_differ_by_address_the_ipv4_line_is_served() -> None:
    heard = Peer().offered(*audio(4000), "c=IN IP6 ::1", *audio(4002), "c=IN IP4 10.0.0.9")
    assert media_lines(heard) == ["audio 4002"]


S, P = SECURE, PLAIN


@pytest.mark.parametrize(
    ("srtp", "lines", "served"),
    [
        (DISABLED, (*audio(1, S), GOOD, *audio(2, P)), 2),
        (DISABLED, (*audio(1, P), GOOD, *audio(2, P)), 1),
        (OPTIONAL, (*audio(1, P), *audio(2, S), GOOD), 2),
        (OPTIONAL, (*audio(1, P), *audio(2, P), GOOD), 2),
        (OPTIONAL, (*audio(1, S), BAD, *audio(2, P)), 2),
        (OPTIONAL, (*audio(1, S), BAD, *audio(2, "RTP/SAVPF"), GOOD), 2),
        (MANDATORY, (*audio(1, P), GOOD, *audio(2, S), GOOD), 2),
        (MANDATORY, (*audio(1, "UDP/TLS/RTP/SAVPF"), *audio(2, S), GOOD), 2),
        (MANDATORY, (*audio(0, S), GOOD, *audio(2, S), GOOD), 2),
        (DISABLED, ("m=audio 1 RTP/AVP 111", *audio(2, "rtp/avp")), 2),
    ],
)
def test_the_best_of_several_audio_lines_is_served(srtp: int, lines: tuple[str, ...], served: int) -> None:
    peer = Peer(srtp)
    assert media_lines(peer.offered(*lines)) == [f"audio {served}"]
    assert kinds(peer.answers()) == (["audio", "-audio"] if served == 1 else ["-audio", "audio"])


@pytest.mark.parametrize(
    ("srtp", "lines", "given"),
    [
        (DISABLED, (*audio(1, S), GOOD), f"m=audio 1 {S} 0 101"),
        (MANDATORY, (*VIDEO, *audio(1, P)), f"m=audio 1 {P} 0 101"),
        (OPTIONAL, ("m=audio 0 RTP/AVP 0", "m=audio 1 RTP/AVP 111"), "m=audio 1 RTP/AVP 19"),
        (DISABLED, VIDEO, "m=video 5002 RTP/AVP 19"),
        (DISABLED, ("m=audio 0 RTP/AVP 0",), "m=audio 0 RTP/AVP 0"),
    ],
)
def test_if_no_line_can_be_served_pjsip_gets_one_to_reject(srtp: int, lines: tuple[str, ...], given: str) -> None:
    heard = Peer(srtp).offered(*lines)
    assert given in heard
    assert BAD not in heard


# ---------------------------------------------------------------- later offers


def test_our_own_offers_keep_the_lines() -> None:
    peer = Peer()
    peer.offered(*VIDEO, *audio(4000), *VIDEO)
    peer.answers()
    assert kinds(peer.offers()) == ["-video", "audio", "-video"]
    assert media_lines(peer.answered(*VIDEO, *audio(4004), *VIDEO)) == ["audio 4004"]
    assert media_lines(peer.answered(*audio(4004))) == []


def test_the_lines_are_those_of_the_last_answered_offer() -> None:
    peer = Peer()
    peer.offered(*audio(4000))
    peer.answers()
    peer.offered(*VIDEO, *VIDEO, "m=audio 4000 RTP/AVP 111")  # rejected: no answer is written
    assert kinds(peer.offers()) == ["audio"]
    peer.offered(*audio(4000), *VIDEO)
    assert kinds(peer.answers()) == ["audio", "-video"]
    assert kinds(peer.answers()) == ["audio", "-video"]  # 183, then 200


def test_audio_stays_in_its_line_unless_the_far_end_moves_it() -> None:
    peer = Peer()
    peer.offered(*VIDEO, *audio(4000))
    peer.answers()
    assert media_lines(peer.offered(*audio(4002), *audio(4000))) == ["audio 4000"]
    peer.answers()
    assert media_lines(peer.offered(*audio(4002), "m=audio 0 RTP/AVP 0")) == ["audio 4002"]
    assert kinds(peer.answers()) == ["audio", "-audio"]


def test_audio_at_port_0_is_on_hold_until_it_has_a_port_again() -> None:
    peer = Peer(MANDATORY)
    peer.offered(*audio(4000, SECURE), GOOD)
    peer.answers()
    off = peer.offered("m=audio 0 RTP/SAVP 18", *VIDEO)
    assert directions(off) == ["inactive"]
    assert f"m=audio 4000 {SECURE} 0 101" in off  # what PJSIP agreed to, so that it agrees again
    assert GOOD in off
    assert kinds(peer.answers(OWN_PORT, "a=inactive")) == ["-audio", "-video"]
    assert kinds(peer.offers()) == ["-audio", "-video"]
    assert directions(peer.answered("m=audio 0 RTP/SAVP 0", *VIDEO)) == ["inactive"]
    assert media_lines(peer.offered(*audio(4002, SECURE), GOOD, *VIDEO)) == ["audio 4002"]
    assert kinds(peer.answers()) == ["audio", "-video"]


def test_a_fax_instead_of_audio_is_rejected_as_a_whole() -> None:
    peer = Peer()
    peer.offered(*audio(4000))
    peer.answers()
    assert media_lines(peer.offered("m=audio 0 RTP/AVP 0", "m=image 4000 udptl t38")) == ["audio 0"]


def test_the_version_increases_by_one_with_each_change_only() -> None:
    peer = Peer()
    peer.offered(*audio(4000))
    assert version(peer.answers()) == 70
    peer.offered(*audio(4000), *VIDEO)
    assert version(peer.answers()) == 71
    assert version(peer.answers()) == 71
    assert version(peer.offers()) == 71
    peer.offered(*audio(4000, "RTP/AVP"), *VIDEO)
    assert version(peer.answers(OWN_PORT, "a=recvonly")) == 72
    assert version(peer.offers(OWN_PORT)) == 73


# ---------------------------------------------------------------- keys in answers


@pytest.mark.parametrize(
    ("srtp", "lines", "port"),
    [
        (MANDATORY, (*audio(4000, SECURE), GOOD), 4000),
        (MANDATORY, (*audio(4000, SECURE), BAD), 0),
        (MANDATORY, (*audio(4000, SECURE), GOOD.replace(":1", ":7")), 0),
        (MANDATORY, (*audio(4000, SECURE), GOOD, GOOD.replace(":1", ":2")), 0),
        (MANDATORY, audio(4000, SECURE), 0),
        (MANDATORY, audio(4000, PLAIN), 0),
        (OPTIONAL, audio(4000, PLAIN), 4000),
        (OPTIONAL, (*audio(4000, PLAIN), GOOD), 4000),
        (OPTIONAL, (*audio(4000, PLAIN), BAD), 0),
        (OPTIONAL, (*audio(4000, PLAIN), GOOD + " UNENCRYPTED_SRTP"), 0),
        (DISABLED, (*audio(4000, PLAIN), GOOD), 0),
        (DISABLED, audio(4000, SECURE), 0),
        (DISABLED, ("m=audio 4000 RTP/AVP 111",), 0),
    ],
)
def test_an_answer_that_cannot_be_served_counts_as_declined(srtp: int, lines: tuple[str, ...], port: int) -> None:
    peer = Peer(srtp)
    peer.offers(OWN_PORT, *([GOOD] if srtp else []))
    assert media_lines(peer.answered(*lines)) == [f"audio {port}"]


# ---------------------------------------------------------------- hostile descriptions


@pytest.mark.parametrize(
    "sdp",
    [
        "hello",
        "v=0\r\n\r\no=- 1 1 IN IP4 1.1.1.1\r\n",
        description(audio(4000)).replace("s=-", "s=\0"),
        description(["m=audio"]),
        description(["m=audio 4000"]),
        description(["m=audio 4000 RTP/AVP"]),
        description(["m=audio 65536 RTP/AVP 0"]),
        description(["m=audio 99999999999999999999 RTP/AVP 0"]),
        description(["m=audio -1 RTP/AVP 0"]),
        description(["m=audio 4000 RTP/AVP 0", "m=video x RTP/AVP 96"]),
        description(["m=audio 4000 RTP/AVP 0", "m=vid\x01eo 1 RTP/AVP 96"]),
        description([*audio(4000), "A=sendonly"]),
        description([*audio(4000), "sendonly"]),
    ],
)
def test_pjsip_gets_an_invalid_description_as_none(sdp: str) -> None:
    assert Peer().reads(sdp) == "?\r\n"


def test_an_offer_whose_answer_would_exceed_a_message_is_rejected() -> None:
    assert Peer().offered(*["m=a 9 b c"] * 5000, *audio(4000)) != "?\r\n"
    assert Peer().offered(*["m=a 9 b c"] * 5900, *audio(4000)) == "?\r\n"


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_lines_may_have_other_ends_and_the_last_one_none(end: str) -> None:
    offer = description([*audio(4000), "a=sendonly"]).rstrip()
    assert Peer().reads(offer.replace("\r\n", end)) == Peer().reads("\r\n" + offer + "\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        ["m=a 9 b c"] * (LONGEST_BODY // 11),
        ["m=audio 9 RTP/AVP 0"] * (LONGEST_BODY // 21),
        ["a=b"] * (LONGEST_BODY // 10) + ["m=audio 9 RTP/AVP 0"] * (LONGEST_BODY // 42),
        ["m=audio 9 RTP/AVP " + "7 " * (LONGEST_BODY // 2)],
        ["m=audio 9 RTP/AVP 0"] + ["a=rtpmap:0 PCMU/8000"] * (LONGEST_BODY // 22),
        ["m=audio 9 RTP/SAVP 0"] + ["a=crypto:1 x inline:y"] * (LONGEST_BODY // 24),
    ],
)
def test_the_longest_description_takes_milliseconds(lines: list[str]) -> None:
    peer = Peer(OPTIONAL)

    def seconds() -> float:
        begun = time.perf_counter()
        peer.offered(*lines)
        peer.answers()
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(5)) < 0.05


def test_corrupted_descriptions_are_read_or_rejected() -> None:
    chance = random.Random(4566)  # noqa: S311 (the same each time)
    whole = description(
        [*VIDEO, *audio(4000), GOOD, "a=ptime:20", "c=IN IP4 10.0.0.9", "a=sendonly", *audio(0)]
    ).encode()
    peer = pj.OfferAnswer(OPTIONAL, "PCMU")
    for number in range(20_000):
        spoiled = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(spoiled))
            kind = chance.randrange(4)
            if kind == 0:
                spoiled[place] = chance.randrange(256)
            elif kind == 1:
                del spoiled[place : place + chance.randint(1, 30)]
            elif kind == 2:
                spoiled[place:place] = spoiled[chance.randrange(len(spoiled)) :][: chance.randint(1, 60)]
            else:
                spoiled[place:place] = chance.choice(
                    [b"\r\n", b"\n", b" ", b"=", b"0" * 30, b"m=audio 1 RTP/AVP 0\r\n"]
                )
        heard = peer.readOffer(bytes(spoiled), number)
        assert heard.count(b"\nm=") <= 1
        answer = peer.writeAnswer(whole, number)
        assert b"\0" not in answer
        peer.readAnswer(bytes(spoiled))
