"""The audio line of an offer that is served, and what PJSIP gets of it."""

from __future__ import annotations

import re

import pytest

from tests.harness.media.sdp import VIDEO, audio, description, directions, kinds, media_lines
from tests.sip.sdp_exchange import (
    BAD,
    DISABLED,
    GOOD,
    MANDATORY,
    OPTIONAL,
    OWN_PORT,
    PLAIN,
    SECURE,
    SdpExchange,
)

# ---------------------------------------------------------------- the line that is served


@pytest.mark.parametrize("place", [0, 1, 3, 29])
def test_audio_is_served_in_any_line(place: int) -> None:
    exchange = SdpExchange()
    lines: list[tuple[str, ...]] = [VIDEO] * 30
    lines[place] = audio(4000)
    assert media_lines(exchange.receive_offer(*sum(lines, ()))) == ["audio 4000"]
    answer = exchange.send_answer()
    assert kinds(answer) == ["-video"] * place + ["audio"] + ["-video"] * (29 - place)
    assert media_lines(answer)[place] == f"audio {OWN_PORT}"


def test_a_rejected_line_repeats_kind_protocol_and_a_format() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(
        "m=application 5006 UDP/BFCP *", *audio(4000), "m=text 5010 RTP/AVP 98 97", "m=message 5012 TCP/MSRP *"
    )
    answer = exchange.send_answer()
    assert "m=application 0 UDP/BFCP *\r\nm=audio" in answer
    assert answer.endswith("m=text 0 RTP/AVP 98\r\nm=message 0 TCP/MSRP *\r\n")


def test_our_formats_are_found_among_any_number_of_others() -> None:
    others = [f"a=rtpmap:{number} CODEC-{number}/16000" for number in range(66, 120)]
    numbers = " ".join(str(number) for number in range(66, 120))
    heard = SdpExchange().receive_offer(
        f"m=audio 4000 {PLAIN} {numbers} 121 8 0 8 97", *others, "a=rtpmap:121 telephone-event/8000"
    )
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
    assert f"m=audio 4000 {PLAIN} {kept}\r\n" in SdpExchange().receive_offer(
        f"m=audio 4000 {PLAIN} {formats}", *attributes
    )


def test_codecs_that_are_not_configured_are_not_served() -> None:
    heard = SdpExchange(codecs="PCMA").receive_offer(*audio(4000), "m=audio 4002 RTP/AVP 8")
    assert media_lines(heard) == ["audio 4002"]


def test_pjsip_gets_no_attribute_that_it_does_not_use() -> None:
    candidates = [f"a=candidate:{number} 1 UDP 1 10.0.0.1 5000 typ host" for number in range(500)]
    heard = SdpExchange().receive_offer(
        *audio(4000), "b=AS:64", *candidates, "a=ptime:30", "a=rtcp:4005", "a=mid:1", "a=sendonly"
    )
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
    assert directions(SdpExchange().receive_offer(*VIDEO, "a=inactive", *audio(4000), *own, session=session)) == [meant]


def test_the_address_is_that_of_the_line_else_of_the_session() -> None:
    assert "c=IN IP4 10.0.0.9\r\n" in SdpExchange().receive_offer(*VIDEO, *audio(4000), "c=IN IP4 10.0.0.9")
    assert "c=IN IP4 127.0.0.1\r\n" in SdpExchange().receive_offer(*VIDEO, "c=IN IP4 10.0.0.9", *audio(4000))
    assert "c=" not in SdpExchange().receive_offer(*VIDEO, "c=IN IP4 10.0.0.9", *audio(4000), connection="")


@pytest.mark.parametrize("written", ["c=in ip4 10.0.0.9", "c=IN  IP4   10.0.0.9 ", "c= IN\tIP4 10.0.0.9"])
def test_pjsip_gets_an_address_in_one_form(written: str) -> None:
    assert "c=IN IP4 10.0.0.9\r\n" in SdpExchange().receive_offer(*audio(4000), connection=written)
    assert "c=IN IP4 10.0.0.9\r\n" in SdpExchange().receive_offer(*audio(4000), written, connection="c=IN IP6 ::1")
    assert "c=IN IP6 ::1\r\n" in SdpExchange().receive_offer(*audio(4000), connection="c=in ip6 ::1")


@pytest.mark.parametrize("written", ["c=IN IP4", "c=", "c=TN RFC2543 1"])
def test_an_address_of_another_form_reaches_pjsip_unchanged(written: str) -> None:
    assert f"{written}\r\n" in SdpExchange().receive_offer(*audio(4000), connection=written)


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
    heard = SdpExchange().receive_offer(*audio(4000), f"a=rtcp:{written}", connection=f"c={connection}")
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
    assert SdpExchange().receive_offer_text(
        "\r\n".join(each for each in own if each is not None)
    ) == SdpExchange().receive_offer_text(offer)


def test_a_description_without_an_origin_reaches_pjsip_without_one() -> None:
    heard = SdpExchange().receive_offer_text(description(audio(4000)).replace("o=peer 1 1 IN IP4 127.0.0.1\r\n", ""))
    assert "o=" not in heard


def test_of_two_lines_that_differ_by_address_the_ipv4_line_is_served() -> None:
    heard = SdpExchange().receive_offer(*audio(4000), "c=IN IP6 ::1", *audio(4002), "c=IN IP4 10.0.0.9")
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
    exchange = SdpExchange(srtp)
    assert media_lines(exchange.receive_offer(*lines)) == [f"audio {served}"]
    assert kinds(exchange.send_answer()) == (["audio", "-audio"] if served == 1 else ["-audio", "audio"])


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
    heard = SdpExchange(srtp).receive_offer(*lines)
    assert given in heard
    assert BAD not in heard
