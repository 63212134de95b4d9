"""The keys of an offer that can be served (RFC 4568)."""

from __future__ import annotations

import base64
import re

import pytest
from sipbridge_pjsip import pjsua2 as pj

from tests.harness.media.sdp import audio, description

AES_128, AES_256 = "AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80"
# The same in each process: pytest's workers compare the names of the tests.
SHORT, LONG = (base64.b64encode(bytes(range(100, 100 + size))).decode() for size in (30, 46))
OTHER = f"9 {AES_128} inline:{SHORT}"


def chosen(*keys: str) -> list[str]:
    """Return the keys that PJSIP gets of an offer with these."""
    lines = [*audio(4000, "RTP/SAVP"), *(f"a=crypto:{key}" for key in keys)]
    heard = pj.OfferAnswer(1, "PCMU").readOffer(description(lines).encode(), 1).decode()
    return re.findall(r"^a=crypto:(.*?)\r$", heard, re.MULTILINE)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        (f"1 {AES_128} inline:{SHORT}", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_256} inline:{LONG}", f"1 {AES_256} inline:{LONG}"),
        (f"1 {AES_256} inline:{LONG.rstrip('=')}", f"1 {AES_256} inline:{LONG}"),
        (f"0 {AES_128} inline:{SHORT}", f"0 {AES_128} inline:{SHORT}"),
        (f"999999999 {AES_128} inline:{SHORT}", f"999999999 {AES_128} inline:{SHORT}"),
        (f"1  {AES_128.lower()}  INLINE:{SHORT} ", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_128} inline:{SHORT}|2^20", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_128} inline:{SHORT}|2^48", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_128} inline:{SHORT}|1048576", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_128} inline:{SHORT} WSH=128", f"1 {AES_128} inline:{SHORT}"),
        (f"1 {AES_128} inline:{SHORT} -FUTURE=1 WSH=64", f"1 {AES_128} inline:{SHORT}"),
    ],
)
def test_pjsip_gets_a_key_that_can_be_served_in_one_form(key: str, given: str) -> None:
    assert chosen(key, OTHER) == [given]


@pytest.mark.parametrize(
    "key",
    [
        f"1 {AES_128} inline:{SHORT}|2^31|1:4",
        f"1 {AES_128} inline:{SHORT}|1:4",
        f"1 {AES_128} inline:{SHORT}|2^31|1:4;inline:{SHORT}|2^31|2:4",
        f"1 {AES_128} inline:{SHORT};inline:{SHORT}",
        f"1 {AES_128} inline:{SHORT}|2^19",
        f"1 {AES_128} inline:{SHORT}|2^49",
        f"1 {AES_128} inline:{SHORT}|1000",
        f"1 {AES_128} inline:{SHORT}|{'9' * 40}",
        f"1 {AES_128} inline:{SHORT}|2^",
        f"1 {AES_128} inline:{SHORT}|",
        f"1 {AES_128} inline:{SHORT}|x",
        f"1 {AES_128} inline:{SHORT} UNENCRYPTED_SRTP",
        f"1 {AES_128} inline:{SHORT} WSH=64 UNENCRYPTED_SRTCP",
        f"1 {AES_128} inline:{SHORT} UNAUTHENTICATED_SRTP",
        f"1 {AES_128} inline:{SHORT} WSH=63",
        f"1 {AES_128} inline:{SHORT} WSH=abc",
        f"1 {AES_128} inline:{SHORT} WSH=",
        f"1 {AES_128} inline:{SHORT} WSH=64x",
        f"1 {AES_128} inline:{SHORT} WSH",
        f"1 {AES_128} inline:{SHORT} KDR=0",
        f"1 {AES_128} inline:{SHORT} FEC_ORDER=FEC_SRTP",
        f"1 {AES_128} inline:{SHORT} FEC_KEY=inline:{SHORT}",
        f"1 {AES_128} inline:{SHORT} FUTURE",
        f"1 {AES_128} inline:{SHORT} -",
        f"1 {AES_128} inline:{LONG}",
        f"1 {AES_256} inline:{SHORT}",
        f"1 {AES_128} inline:{SHORT[:-1]}",
        f"1 {AES_128} inline:{SHORT}====",
        f"1 {AES_128} inline:{SHORT[:-1]}!",
        f"1 {AES_128} inline:",
        f"1 {AES_128} uri:{SHORT}",
        f"1 {AES_128}",
        "1",
        "",
        f"01 {AES_128} inline:{SHORT}",
        f"1234567890 {AES_128} inline:{SHORT}",
        f"x {AES_128} inline:{SHORT}",
        f"1 AES_CM_128_HMAC_SHA1_32 inline:{SHORT}",
        f"1 F8_128_HMAC_SHA1_80 inline:{SHORT}",
    ],
)
def test_a_key_that_cannot_be_served_is_skipped(key: str) -> None:
    assert chosen(key) == []
    assert chosen(key, OTHER) == [OTHER]


def test_keys_with_the_same_tag_are_skipped() -> None:
    other = f"8 {AES_256} inline:{LONG}"
    assert chosen(OTHER, other, OTHER.replace(SHORT, SHORT[::-1])) == [other]
