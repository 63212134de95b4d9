"""Later offers and answers of a dialog."""

from __future__ import annotations

import pytest

from tests.harness.media.sdp import VIDEO, audio, directions, kinds, media_lines, version
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

# ---------------------------------------------------------------- later offers


def test_our_own_offers_keep_the_lines() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(*VIDEO, *audio(4000), *VIDEO)
    exchange.send_answer()
    assert kinds(exchange.send_offer()) == ["-video", "audio", "-video"]
    assert media_lines(exchange.receive_answer(*VIDEO, *audio(4004), *VIDEO)) == ["audio 4004"]
    assert media_lines(exchange.receive_answer(*audio(4004))) == []


def test_the_lines_are_those_of_the_last_answered_offer() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(*audio(4000))
    exchange.send_answer()
    exchange.receive_offer(*VIDEO, *VIDEO, "m=audio 4000 RTP/AVP 111")  # rejected: no answer is written
    assert kinds(exchange.send_offer()) == ["audio"]
    exchange.receive_offer(*audio(4000), *VIDEO)
    assert kinds(exchange.send_answer()) == ["audio", "-video"]
    assert kinds(exchange.send_answer()) == ["audio", "-video"]  # 183, then 200


def test_audio_stays_in_its_line_unless_the_far_end_moves_it() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(*VIDEO, *audio(4000))
    exchange.send_answer()
    assert media_lines(exchange.receive_offer(*audio(4002), *audio(4000))) == ["audio 4000"]
    exchange.send_answer()
    assert media_lines(exchange.receive_offer(*audio(4002), "m=audio 0 RTP/AVP 0")) == ["audio 4002"]
    assert kinds(exchange.send_answer()) == ["audio", "-audio"]


def test_audio_at_port_0_is_on_hold_until_it_has_a_port_again() -> None:
    exchange = SdpExchange(MANDATORY)
    exchange.receive_offer(*audio(4000, SECURE), GOOD)
    exchange.send_answer()
    off = exchange.receive_offer("m=audio 0 RTP/SAVP 18", *VIDEO)
    assert directions(off) == ["inactive"]
    assert f"m=audio 4000 {SECURE} 0 101" in off  # what PJSIP agreed to, so that it agrees again
    assert GOOD in off
    assert kinds(exchange.send_answer(OWN_PORT, "a=inactive")) == ["-audio", "-video"]
    assert kinds(exchange.send_offer()) == ["-audio", "-video"]
    assert directions(exchange.receive_answer("m=audio 0 RTP/SAVP 0", *VIDEO)) == ["inactive"]
    assert media_lines(exchange.receive_offer(*audio(4002, SECURE), GOOD, *VIDEO)) == ["audio 4002"]
    assert kinds(exchange.send_answer()) == ["audio", "-video"]


def test_a_fax_instead_of_audio_is_rejected_as_a_whole() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(*audio(4000))
    exchange.send_answer()
    assert media_lines(exchange.receive_offer("m=audio 0 RTP/AVP 0", "m=image 4000 udptl t38")) == ["audio 0"]


def test_the_version_increases_by_one_with_each_change_only() -> None:
    exchange = SdpExchange()
    exchange.receive_offer(*audio(4000))
    assert version(exchange.send_answer()) == 70
    exchange.receive_offer(*audio(4000), *VIDEO)
    assert version(exchange.send_answer()) == 71
    assert version(exchange.send_answer()) == 71
    assert version(exchange.send_offer()) == 71
    exchange.receive_offer(*audio(4000, "RTP/AVP"), *VIDEO)
    assert version(exchange.send_answer(OWN_PORT, "a=recvonly")) == 72
    assert version(exchange.send_offer(OWN_PORT)) == 73


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
    exchange = SdpExchange(srtp)
    exchange.send_offer(OWN_PORT, *([GOOD] if srtp else []))
    assert media_lines(exchange.receive_answer(*lines)) == [f"audio {port}"]
