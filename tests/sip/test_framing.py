"""The bounds of messages, in the bytes of a connection and in a datagram."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from sipbridge_pjsip import pjsua2 as pj

MOST = 65_535
TOO_LONG = "the message is longer than 65535 bytes"

Seen = tuple[str, object]


def request(*lines: str, body: bytes = b"", length: int | str | None = -1) -> bytes:
    head = [
        "INVITE sip:a@b SIP/2.0",
        "v: SIP/2.0/TCP h;branch=z9hG4bK1",
        "X-Data: {}",
        "From: <sip:c@d>;tag=1",
        "t: <sip:a@b>",
        "I: id",
        "CSeq: 1 INVITE",
        *lines,
    ]
    if length is not None:
        head.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*head, "", ""]).encode() + body


ESSENTIAL = (
    b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nt: <sip:a@b>\r\nI: id\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
RESPONSE = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n"
NEXT = request("X-Next: yes")


def framed(*pieces: bytes) -> list[Seen]:
    framer = pj.StreamFramer()
    seen: list[Seen] = []
    for piece in pieces:
        framer.feed(piece)
        seen += frames_of(framer)
    return seen


def frames_of(framer: pj.StreamFramer) -> Iterable[Seen]:
    while True:
        kind, text, status, reason = framer.next()
        if kind == pj.FrameNone:
            return
        if kind == pj.FrameMessage:
            yield "message", text
        elif kind == pj.FrameRefused:
            assert text == ESSENTIAL
            yield "refused", (status, reason)
        elif kind == pj.FramePing:
            yield "ping", None
        else:
            yield "end", None
            return


def of_datagram(datagram: bytes) -> Seen | None:
    kind, text, status, reason = pj.readDatagram(datagram)
    if kind == pj.FrameRefused:
        assert text == ESSENTIAL
        return "refused", (status, reason)
    return ("message", text) if kind == pj.FrameMessage else None


@pytest.mark.parametrize("seed", range(5))
def test_messages_do_not_depend_on_the_pieces_in_which_they_arrive(seed: int) -> None:
    messages = [request(body=b"v=0\r\n\r\n"), NEXT, request("Content-Type: a/b", body=b"\r\n" * 20), NEXT]
    text = b"\r\n".join(messages)
    cuts = sorted(random.Random(seed).sample(range(len(text)), 40))  # noqa: S311 (the same for the same seed)
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert framed(*pieces) == framed(text) == [("message", each) for each in messages]


@pytest.mark.parametrize(
    "name", ["Content-Length:", "content-length :", "L:", "l \t:", "Content-Length:\r\n\t", "CONTENT-LENGTH:"]
)
def test_every_form_of_content_length_is_recognized(name: str) -> None:
    message = request(f"{name} 04 ", length=None) + b"four"
    assert framed(message + NEXT) == [("message", message), ("message", NEXT)]
    assert of_datagram(message + b"more") == ("message", message)


def test_a_name_that_resembles_content_length_is_ignored() -> None:
    message = request("ContentMLength: 400", "X-Content-Length: 400", "X-A: Content-Length: 400", body=b"four")
    assert framed(message) == [("message", message)]


def test_lines_may_end_with_lf_alone() -> None:
    message = request(body=b"1").replace(b"\r\n", b"\n")
    assert framed(message + NEXT) == [("message", message), ("message", NEXT)]
    assert of_datagram(message) == ("message", message)


@pytest.mark.parametrize("size", [MOST - 1, MOST])
def test_a_message_of_the_maximum_length_is_accepted(size: int) -> None:
    message = request("X-Long: " + "a" * (size - len(request("X-Long: "))))
    assert framed(message + NEXT) == [("message", message), ("message", NEXT)]
    body = b"b" * (size - len(NEXT) - 4)
    assert framed(request("X-Next: yes", body=body)) == [("message", request("X-Next: yes", body=body))]


@pytest.mark.parametrize("size", [MOST, MOST + 1, 100_000, 1_000_000])
@pytest.mark.parametrize("step", [1_000_000, 4_096])
def test_a_longer_message_is_rejected_and_the_next_one_accepted(size: int, step: int) -> None:
    for message in (
        request("X-Long: " + "a" * size),
        request("X-A: b", *["X-More: " + "c" * 90] * (size // 90)),
        request(body=b"\n" * size),
    ):
        text = message + b"\r\n" + NEXT
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        assert framed(*pieces) == [("refused", (513, TOO_LONG)), ("message", NEXT)]


def test_a_longer_message_is_rejected_even_if_its_call_id_comes_last() -> None:
    long = b"INVITE sip:a@b SIP/2.0\r\nX-Long: " + b"a" * 70_000 + b"\r\nX-Other: " + b"Via: b\r\n\t" * 9_000 + b"\r\n"
    text = long + request()[len(b"INVITE sip:a@b SIP/2.0\r\n") :]
    assert framed(text + NEXT) == [("refused", (513, TOO_LONG)), ("message", NEXT)]


def test_a_longer_message_without_call_id_gets_no_response() -> None:
    framer = pj.StreamFramer()
    framer.feed(b"OPTIONS sip:a SIP/2.0\r\nX-A: " + b"a" * 100_000)
    assert not list(frames_of(framer))
    assert framer.isLost()
    assert framer.giveUp()[0] == pj.FrameNone
    assert list(frames_of(framer)) == [("end", None)]


def test_a_response_that_is_too_long_is_skipped() -> None:
    text = RESPONSE + b"X: " + b"a" * MOST + b"\r\nContent-Length: 5\r\n\r\n12345"
    assert framed(text + NEXT) == [("message", NEXT)]


@pytest.mark.parametrize(
    ("length", "status", "reason"),
    [
        (None, 400, "there is no Content-Length"),
        ("", 400, "Content-Length is not a number"),
        ("-5", 400, "Content-Length is not a number"),
        ("+5", 400, "Content-Length is not a number"),
        ("0x5", 400, "Content-Length is not a number"),
        ("5 5", 400, "Content-Length is not a number"),
        ("5\r\nl: 6", 400, "Content-Length came several times"),
        ("99999999999999999999999999", 513, TOO_LONG),
        (str(17 * 1024 * 1024), 513, TOO_LONG),
    ],
)
def test_a_message_of_unknown_length_ends_the_connection(length: str | None, status: int, reason: str) -> None:
    text = request(length=length)
    assert framed(text + NEXT) == [("refused", (status, reason)), ("end", None)]
    assert framed(RESPONSE + text[text.index(b"CSeq") :] + NEXT) == [("end", None)]


def test_a_repeated_length_is_rejected_and_the_next_message_accepted() -> None:
    text = request("l: 4", body=b"four") + NEXT
    assert framed(text) == [("refused", (400, "Content-Length came several times")), ("message", NEXT)]


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00" * 9,
        b"hello\n",
        random.Random(1).randbytes(20_000),  # noqa: S311 (the same each time)
    ],
    ids=["HTTP", "TLS", "zeros", "a word", "random"],
)
def test_bytes_that_are_not_sip_end_the_connection(junk: bytes) -> None:
    assert framed(NEXT + junk) == [("message", NEXT), ("end", None)]


def test_an_endless_head_gets_a_response_and_ends_the_connection() -> None:
    text = request()[:-2] + b"X-A: b\r\n" * 3_000_000
    assert framed(text) == [("refused", (513, TOO_LONG)), ("end", None)]


@pytest.mark.parametrize("pieces", [[b"\r\n\r\n"], [b"\r\n", b"\r\n"], [b"\r", b"\n\r", b"\n"]])
def test_two_line_ends_between_messages_are_a_ping(pieces: list[bytes]) -> None:
    assert framed(*pieces) == [("ping", None)]
    assert framed(NEXT, *pieces, NEXT) == [("message", NEXT), ("ping", None), ("message", NEXT)]


def test_every_two_line_ends_are_a_ping_and_a_single_one_is_none() -> None:
    assert framed(b"\r\n" * 7) == [("ping", None)] * 3
    assert framed(b"\r\n", NEXT, b"\r\n", NEXT) == [("message", NEXT)] * 2
    assert framed(b"\r\r\r\r") == []


def test_an_unfinished_message_gets_a_response_if_its_head_allows_it() -> None:
    for begun in (request()[:-2], request(body=b"four")[:-1]):
        framer = pj.StreamFramer()
        framer.feed(begun)
        assert not list(frames_of(framer))
        assert framer.isUnfinished()
        kind, text, status, _ = framer.giveUp()
        assert (kind, text, status) == (pj.FrameRefused, ESSENTIAL, 400)
        assert list(frames_of(framer)) == [("end", None)]
    framer = pj.StreamFramer()
    framer.feed(b"INVITE sip:a SIP/2.0\r\n")
    assert framer.giveUp()[0] == pj.FrameNone


@pytest.mark.parametrize("cut", [2, 4, 20])
def test_a_datagram_with_an_unfinished_head_is_rejected(cut: int) -> None:
    fault = ("refused", (400, "the head has no blank line at its end"))
    assert of_datagram(request("X-Long: " + "a" * 100)[:-cut]) == fault
    assert of_datagram(request()[:60]) is None
    assert of_datagram(RESPONSE) is None


def test_the_content_length_of_a_datagram_is_checked() -> None:
    whole = request(body=b"v=0\r\n")
    assert of_datagram(b"\r\n\r\n" + whole + b"\r\n\r\n") == ("message", whole)
    assert of_datagram(whole[:-1]) == ("refused", (400, "the body is shorter than Content-Length says"))
    assert of_datagram(request("L: 0", length=0)) == ("refused", (400, "Content-Length came several times"))
    assert of_datagram(request(length="-1")) == ("refused", (400, "Content-Length is not a number"))
    assert of_datagram(request(length=None) + b"body") == ("message", request(length=None) + b"body")
    assert of_datagram(b"\r\n" * 50) is None
    assert of_datagram(b"\x00\x01" * 50) is None
