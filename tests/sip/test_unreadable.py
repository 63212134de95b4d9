"""Messages that PJSIP cannot parse in part, and what it gets instead, by the positions that it reports."""

from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

START = b"INVITE sip:a@b SIP/2.0"
ESSENTIAL = (b"Via: SIP/2.0/UDP h;branch=z9hG4bK1", b"From: <sip:c@d>;tag=1", b"To: <sip:a@b>", b"Call-ID: id")
SEQUENCE = b"CSeq: 1 INVITE"


def message(*headers: bytes, start: bytes = START, sequence: bytes = SEQUENCE) -> bytes:
    return b"\r\n".join([start, *ESSENTIAL, sequence, *headers, b"", b"v=0"])


def amended(text: bytes, *found: bytes) -> tuple[int, bytes, int, str]:
    kind, amended_text, status, reason = pj.withoutUnreadable(text, [text.index(each) for each in found])
    return kind, amended_text, status, reason


@pytest.mark.parametrize(
    ("header", "instead"),
    [
        (b"Authorization: Bearer abc", b""),
        (b"Expires: abc\r\n  def", b""),
        (b"Session-Expires: 1800; ;refresher=uac;", b"session-expires: 1800;refresher=uac"),
        (b'WWW-Authenticate: Basic realm="a, b", Digest realm="r", nonce="n"', b'Digest realm="r", nonce="n"'),
        (b"WWW-Authenticate: Negotiate", b""),
        (b"Allow: " + b",".join(b"M%d" % each for each in range(40)), b", ".join(b"M%d" % each for each in range(32))),
    ],
    ids=["another scheme", "folded", "empty parameters", "several challenges", "no digest", "a long list"],
)
def test_a_dispensable_header_is_dropped_or_made_readable(header: bytes, instead: bytes) -> None:
    kind, text, _, _ = amended(message(header, b"X-Next: 1"), header)
    assert kind == pj.FrameMessage
    name = header.partition(b":")[0].lower()
    line = instead if instead.startswith(name) or not instead else name + b": " + instead
    assert text == message(*([line] if line else []), b"X-Next: 1")


def test_repeated_list_headers_are_merged_without_duplicates() -> None:
    first, second = b"Require: " + b", ".join([b"timer"] * 32), b"Require: foo"
    _, text, _, _ = amended(message(first, b"X-Next: 1", second), second)
    assert text == message(b"require: timer, foo", b"X-Next: 1")


@pytest.mark.parametrize("header", [b"no colon", b"Bad Name: 1", b"Max-Forwards: x", b"m: junk", b"Record-Route: junk"])
def test_an_invite_with_an_indispensable_unreadable_header_is_rejected(header: bytes) -> None:
    kind, text, status, reason = amended(message(header), header)
    assert (kind, status) == (pj.FrameRefused, 400)
    assert reason
    assert text == message(b"Content-Length: 0").removesuffix(b"v=0")


def test_a_bye_is_not_rejected_for_a_header() -> None:
    start, sequence = START.replace(b"INVITE", b"BYE"), b"CSeq: 2 BYE"
    text = message(b"no colon", b"Max-Forwards: x", start=start, sequence=sequence)
    kind, left, _, _ = amended(text, b"Max-Forwards")
    assert (kind, left) == (pj.FrameMessage, message(start=start, sequence=sequence))


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"INVITE <sip:a@b> SIP/2.0", 400),
        (b"INVITE sip:a@b; lr SIP/2.0", 400),
        (b"INVITE im:a@b SIP/2.0", 416),
        (b"INVITE sip:a@b SIP/3.0", 505),
    ],
)
def test_an_unreadable_request_line_has_its_status(start: bytes, status: int) -> None:
    kind, text, got, _ = amended(message(start=start), b"INVITE")
    assert (kind, got) == (pj.FrameRefused, status)
    assert text.startswith(b"INVITE sip:unreadable.invalid SIP/2.0\r\n")


@pytest.mark.parametrize("name", [b"From", b"To", b"CSeq"])
def test_a_header_that_a_response_copies_is_replaced_with_its_tag(name: bytes) -> None:
    text = message().replace(b"<sip:", b'"x;tag=no" <sip: ').replace(b"CSeq: 1", b"CSeq: 9999999999")
    kind, left, status, reason = amended(text, name)
    assert (kind, status, reason) == (pj.FrameRefused, 400, f"{name.decode()} cannot be read")
    stand_ins = {
        b"From": b"from: <sip:unreadable.invalid>;tag=1",
        b"To": b"to: <sip:unreadable.invalid>",
        b"CSeq": b"cseq: 1 INVITE",
    }
    assert b"\r\n%s\r\n" % stand_ins[name] in left


@pytest.mark.parametrize("name", [b"Via", b"Call-ID"])
def test_without_a_readable_via_or_call_id_there_is_no_response(name: bytes) -> None:
    assert amended(message(), name)[0] == pj.FrameNone


def test_a_response_loses_any_header_but_needs_its_status_line() -> None:
    text = message(b"Contact: junk", b"no colon", start=b"SIP/2.0 200 OK")
    assert amended(text, b"Contact")[:2] == (pj.FrameMessage, message(start=b"SIP/2.0 200 OK"))
    assert amended(text, b"SIP/2.0")[0] == pj.FrameNone


@pytest.mark.parametrize(
    "text", [b"", b"\r\n", b"INVITE", b"INVITE \r\n:\r\n", b"a b SIP/2.0\r\n \r\n:::", b"\xff\x00 \xff"]
)
def test_any_text_can_be_rewritten(text: bytes) -> None:
    kind, *_ = pj.withoutUnreadable(text, [0, 1, 5, 70_000])
    assert kind in (pj.FrameNone, pj.FrameRefused)
