"""Session descriptions that are invalid, long or corrupted."""

from __future__ import annotations

import random
import time

import pytest
from sipbridge_pjsip import pjsua2 as pj

from tests.harness.media.sdp import VIDEO, audio, description
from tests.sip.sdp_exchange import (
    GOOD,
    OPTIONAL,
    SdpExchange,
)

LONGEST_BODY = 65_000


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
    assert SdpExchange().receive_offer_text(sdp) == "?\r\n"


def test_an_offer_whose_answer_would_exceed_a_message_is_rejected() -> None:
    assert SdpExchange().receive_offer(*["m=a 9 b c"] * 5000, *audio(4000)) != "?\r\n"
    assert SdpExchange().receive_offer(*["m=a 9 b c"] * 5900, *audio(4000)) == "?\r\n"


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_lines_may_have_other_ends_and_the_last_one_none(end: str) -> None:
    offer = description([*audio(4000), "a=sendonly"]).rstrip()
    assert SdpExchange().receive_offer_text(offer.replace("\r\n", end)) == SdpExchange().receive_offer_text(
        "\r\n" + offer + "\r\n\r\n"
    )


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
    exchange = SdpExchange(OPTIONAL)

    def seconds() -> float:
        begun = time.perf_counter()
        exchange.receive_offer(*lines)
        exchange.send_answer()
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(5)) < 0.05


def test_corrupted_descriptions_are_read_or_rejected() -> None:
    chance = random.Random(4566)  # noqa: S311 (the same each time)
    whole = description(
        [*VIDEO, *audio(4000), GOOD, "a=ptime:20", "c=IN IP4 10.0.0.9", "a=sendonly", *audio(0)]
    ).encode()
    exchange = pj.OfferAnswer(OPTIONAL, "PCMU")
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
        heard = exchange.readOffer(bytes(spoiled), number)
        assert heard.count(b"\nm=") <= 1
        answer = exchange.writeAnswer(whole, number)
        assert b"\0" not in answer
        exchange.readAnswer(bytes(spoiled))
