from __future__ import annotations

import pytest

from sipbridge.calls.model import Invite
from sipbridge.sip.messages import read_bye, read_invite, read_referral, read_request, user_part


def _message(
    *lines: str, body: bytes = b"", request: str = "sip:+19995550001@10.0.0.1:5060", end: str = "\r\n"
) -> bytes:
    head = end.join(
        [
            f"INVITE {request} SIP/2.0",
            "Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1",
            "Call-ID: sip-id@trunk",
            *lines,
        ]
    )
    return (head + end + end).encode() + body


def _read(*lines: str, **changes: object) -> Invite:
    return read_invite(_message(*lines, **changes), "10.0.0.2", 5060, "udp")  # type: ignore[arg-type]  # the keywords of _message


def test_the_fields_of_an_invite_are_parsed() -> None:
    invite = _read(
        'From: "A caller" <sip:+15550100@10.0.0.2>;tag=1',
        "To: <sip:bridge@10.0.0.1>",
        "X-InContact-ContactId: 123456789",
        "Content-Length: 0",
    )
    assert (invite.sip_call_id, invite.source_address, invite.source_port, invite.transport) == (
        "sip-id@trunk",
        "10.0.0.2",
        5060,
        "udp",
    )
    assert invite.dialled == ("+19995550001", "bridge")
    assert invite.caller == "+15550100"
    assert invite.headers["X-InContact-ContactId"] == "123456789"
    assert invite.malformed is None


def test_header_names_match_in_any_case() -> None:
    assert _read("x-INCONTACT-contactid: 1").headers["X-InContact-ContactId"] == "1"


@pytest.mark.parametrize(
    ("compact", "name"),
    [("i", "Call-ID"), ("f", "From"), ("t", "To"), ("M", "Contact"), ("v", "Via"), ("l", "Content-Length")],
)
def test_compact_forms_stand_for_their_headers(compact: str, name: str) -> None:
    assert _read(f"{compact}: 0").headers.getall(name)[-1] == "0"


def test_an_invite_may_use_compact_forms() -> None:
    message = b"INVITE sip:1@h SIP/2.0\r\ni: id-1\r\nf: <sip:2@h>\r\nt: <sip:3@h>\r\nl: 5\r\n\r\nbody"
    invite = read_invite(message, "10.0.0.2", 5060, "tcp")
    assert (invite.sip_call_id, invite.caller, invite.dialled) == ("id-1", "2", ("1", "3"))
    assert invite.malformed is not None


def test_folded_lines_are_joined() -> None:
    assert _read("X-Long: one\r\n two\r\n\t three", "X-Next: 4").headers["X-Long"] == "one two three"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_line_ends_with_any_line_end_and_nothing_else(end: str) -> None:
    message = f"INVITE sip:1@h SIP/2.0{end}X-Odd: a\x0bb\u2028c{end}X-Next: 4\r\n\r\n"
    headers = read_request(message.encode()).headers
    assert (headers["X-Odd"], headers["X-Next"]) == ("a\x0bb\u2028c", "4")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_line_may_be_folded_anywhere_and_often(end: str) -> None:
    invite = _read(f"X-Long{end} :{end}\tone {end} {end}\t two", "X-Next: 4", end=end if end != "\r" else "\r\n")
    assert (invite.headers["X-Long"], invite.headers["X-Next"]) == ("one two", "4")


def test_much_white_space_takes_no_time() -> None:
    assert _read(f"X-Blank: a{' ' * 60_000}b{chr(9) * 60_000}").headers["X-Blank"].startswith("a  ")


def test_a_line_whose_name_is_not_a_token_is_not_a_header() -> None:
    """RFC 3261, 25.1. Such a line is not passed on."""
    names = ["X-Customer_Id", "X-Case.No", "X-A!b", "X-%*+`'~"]
    invite = _read(
        *(f"{name}: 1" for name in names), "X A: 1", "X-A@b: 1", "X-\u00fc: 1", ": 1", "X-(a): 1", "X-no-colon"
    )
    assert [name for name in invite.headers if name.startswith("X")] == names


def test_a_bare_line_feed_ends_a_line() -> None:
    invite = _read("X-One: 1", "X-Two: 2", end="\n", body=b"v=0")
    assert (invite.headers["X-One"], invite.headers["X-Two"]) == ("1", "2")


def test_white_space_around_names_and_values_is_dropped() -> None:
    assert _read("X-InContact-ContactId \t:   123 \t").headers["X-InContact-ContactId"] == "123"


def test_values_may_hold_colons_and_be_empty() -> None:
    headers = _read("X-Url: https://example.com:1/a:b", "X-Empty:").headers
    assert (headers["X-Url"], headers["X-Empty"]) == ("https://example.com:1/a:b", "")


def test_every_value_of_a_repeated_header_is_kept() -> None:
    assert _read("X-Id: 1", "x-id: 2").headers.getall("X-Id") == ["1", "2"]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    message = _message("X-Name: M?ller").replace(b"?", b"\xfc")
    value = read_invite(message, "10.0.0.2", 5060, "udp").headers["X-Name"]
    assert value.encode("utf-8").decode() == "M\N{REPLACEMENT CHARACTER}ller"


def test_a_line_of_the_body_is_not_a_header() -> None:
    invite = _read("Content-Length: 26", body=b"X-Auth-Token: smuggled\r\n\r\n")
    assert "X-Auth-Token" not in invite.headers
    assert invite.malformed is None


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_line_breaks_of_sip_end_a_header(separator: str) -> None:
    """A caller may choose the display name: none of its characters may begin another header."""
    invite = _read(f'From: "A{separator}X-InContact-ContactId: 666" <sip:+15550100@10.0.0.2>;tag=1')
    assert "X-InContact-ContactId" not in invite.headers


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:+19995550001@10.0.0.1", "+19995550001"),
        ("sip:+19995550001@10.0.0.1:5060;transport=tcp", "+19995550001"),
        ("SIPS:bob@example.com", "bob"),
        ("<sip:%2B1999%20555%200001@10.0.0.1>", "+1999 555 0001"),
        ("sip:bob:secret@example.com", "bob"),
        ("tel:+1-999-555-0001", "+1-999-555-0001"),
        ("<tel:+19995550001;phone-context=example.com>", "+19995550001"),
        ("sip:10.0.0.1", ""),
        ("sip:10.0.0.1:5060;user=phone", ""),
        ("<sip:@10.0.0.1>", ""),
        ("mailto:bob@example.com", ""),
        ("*", ""),
        ("", ""),
    ],
)
def test_the_user_part_of_a_uri(uri: str, user: str) -> None:
    assert user_part(uri) == user


@pytest.mark.parametrize(
    "value",
    [
        "sip:+19995550001;npdi@10.0.0.1",
        "sip:+19995550001;rn=+1555;npdi@10.0.0.1;user=phone",
        "sips:+19995550001;phone-context=+1:5@10.0.0.1",
        "<SIP:+19995550001;cpc=ordinary;oli=0@10.0.0.1;user=phone>;tag=1",
        "sip:+19995550001;isub=12:secret@10.0.0.1",
        "sip:+19995550001:secret;x@10.0.0.1",
        "sip:%2B19995550001%3Bext%3D5@10.0.0.1",
        "<TEL:+19995550001;ext=5;cpc=ordinary>;tag=1",
        "tel:+19995550001;phone-context=a@b.example",
        'Agent <sip:+19995550001;npdi@10.0.0.1>;note="<sip:+1666@evil>"',
        "sip:+19995550001@10.0.0.1;tag=1;user=phone",
        "<sip:+19995550001@10.0.0.1>, <tel:+1666>",
    ],
)
def test_a_number_is_returned_without_parameters(value: str) -> None:
    """RFC 3966, 5: parameters are not part of the number; carriers send them (RFC 4694)."""
    assert user_part(value) == "+19995550001"


@pytest.mark.parametrize("name", ["alice", "anonymous", "alice;day=tuesday", "a.b-c_d", "1a;b"])
def test_a_name_is_unchanged(name: str) -> None:
    """RFC 3261, 19.1.3: a semicolon may be part of a name."""
    assert user_part(f"<sip:{name}@10.0.0.1>;tag=1") == name


@pytest.mark.parametrize(
    "value",
    [
        '"sip:+1666@evil" <sip:+15550100@10.0.0.2>;tag=1',
        '"tel:+1666" <sip:+15550100@10.0.0.2>',
        r'"a \" <sip:+1666@evil>" <sip:+15550100@10.0.0.2>',
    ],
)
def test_the_display_name_is_not_the_number(value: str) -> None:
    assert _read(f"From: {value}").caller == "+15550100"


@pytest.mark.parametrize("escape", ["%0d%0a", "%0A", "%00", "%7f"])
def test_escaped_control_characters_are_dropped(escape: str) -> None:
    """Number and caller go into headers of other messages."""
    invite = _read(f"From: <sip:1{escape}X-Evil:%201@h>", request=f"sip:1{escape}2@h")
    for text in (invite.caller, *invite.dialled):
        assert text.isprintable(), ascii(text)


@pytest.mark.parametrize(
    ("values", "asserted"),
    [
        (("<sip:+15550199@trunk>",), ("+15550199",)),
        (("tel:+15550199",), ("+15550199",)),
        (('"Doe, J." <sip:+15550199@trunk>, <tel:+15550188>',), ("+15550199", "+15550188")),
        (("<sip:+15550199@trunk>", "<tel:+15550188>"), ("+15550199", "+15550188")),
        (("<sip:trunk>, <tel:+15550188>",), ("+15550188",)),
        (("", ",,", '"unclosed', "<>", "nonsense"), ()),
        ((), ()),
    ],
)
def test_asserted_identities_are_parsed_in_order(values: tuple[str, ...], asserted: tuple[str, ...]) -> None:
    assert _read(*(f"P-Asserted-Identity: {value}" for value in values)).asserted == asserted


def test_without_a_user_in_the_request_uri_that_of_to_was_dialled() -> None:
    assert _read("To: <sip:+19995550001@h>", request="sip:10.0.0.1").dialled == ("+19995550001",)


# ---------------------------------------------------------------- faults


def test_a_body_of_the_stated_length_is_valid() -> None:
    assert _read("Content-Length: 4", body=b"v=0\n").malformed is None


def test_a_longer_body_is_valid() -> None:
    assert _read("Content-Length: 2", body=b"v=0\n").malformed is None


def test_a_shorter_body_is_malformed() -> None:
    fault = _read("Content-Length: 5", body=b"v=0\n").malformed
    assert fault is not None
    assert "Content-Length" in fault


@pytest.mark.parametrize("value", ["-1", "many", "", "1 2", "\u0664", "0x10"])
def test_a_content_length_that_is_not_a_number_is_malformed(value: str) -> None:
    assert _read(f"Content-Length: {value}").malformed == "Content-Length is not a number"


@pytest.mark.parametrize("value", ["9" * 30, "9" * 5000])
def test_a_huge_content_length_is_malformed(value: str) -> None:
    assert _read(f"Content-Length: {value}").malformed is not None


def test_leading_zeros_do_not_hide_a_truncated_body() -> None:
    assert _read(f"Content-Length: {300:012}", body=b"v=0\n").malformed is not None


def test_replaces_is_malformed() -> None:
    """RFC 3891: it would replace another call."""
    fault = _read("Replaces: other@trunk;to-tag=1;from-tag=2").malformed
    assert fault is not None
    assert "Replaces" in fault


@pytest.mark.parametrize(
    "message",
    [b"", b"\r\n\r\n", b"INVITE", b"INVITE \r\n", b"\xff\xfe\x00", b"INVITE sip:%@h SIP/2.0\r\n:\r\n : x\r\n\r\n"],
)
def test_any_bytes_can_be_parsed(message: bytes) -> None:
    assert read_invite(message, "10.0.0.2", 5060, "udp").sip_call_id == ""


# ---------------------------------------------------------------- REFER and BYE


def test_a_refer_is_parsed_with_its_x_headers() -> None:
    referral = read_referral(
        b"REFER sip:bridge@127.0.0.1 SIP/2.0\r\nr: <sip:sales@127.0.0.1?X-Handoff-Reason=asked>\r\n"
        b'x-handoff-p4: {"a":\r\n 1}\r\nSubject: no\r\nX-Handoff-P4: second\r\n\r\nX-Body: no'
    )
    assert referral.refer_to == "<sip:sales@127.0.0.1?X-Handoff-Reason=asked>"
    assert dict(referral.headers) == {"x-handoff-p4": '{"a": 1}'}
    assert referral.headers["X-Handoff-P4"] == '{"a": 1}'


def test_a_refer_of_any_bytes_can_be_parsed() -> None:
    assert read_referral(b"\xff\xfe").refer_to == ""
    assert read_referral(b"REFER x SIP/2.0\r\nRefer-To: \xff\r\n\r\n").refer_to == "\ufffd"


def test_a_bye_is_parsed_with_its_x_headers() -> None:
    assert read_bye(b"") == {}
    headers = read_bye(
        b"BYE sip:bridge@127.0.0.1 SIP/2.0\r\nX-Handoff-Reason:\r\n asked\r\n\tfor  it\r\nx-handoff-data \t: {}\r\n"
        b"Reason: Q.850\r\nX-Handoff-Reason: second\r\n\r\nX-Body: no"
    )
    assert dict(headers) == {"X-Handoff-Reason": "asked for  it", "x-handoff-data": "{}"}
    assert headers["X-Handoff-Data"] == "{}"
    assert read_bye(b"\xff\xfe\r\nX-A: \xff\r\n\r\n") == {"X-A": "\ufffd"}


@pytest.mark.parametrize(
    "twice", ["From: <sip:a@h>", "To: <sip:a@h>", "Max-Forwards: 70", "Content-Type: application/sdp", "l: 0"]
)
def test_repeating_a_header_that_may_appear_once_is_malformed(twice: str) -> None:
    assert _read(twice).malformed is None
    assert "several times" in (_read(twice, twice).malformed or "")


def test_a_cseq_of_another_method_is_malformed() -> None:
    assert _read("CSeq: 1 INVITE").malformed is None
    assert "another method" in (_read("CSeq: 1 OPTIONS").malformed or "")


def test_the_required_extensions_are_those_of_all_require_headers() -> None:
    request = read_request(b"OPTIONS sip:a@h SIP/2.0\r\nRequire: 100rel, one\r\nrequire:two,\r\n\r\n")
    assert (request.method, request.uri) == ("OPTIONS", "sip:a@h")
    assert request.required == {"100rel", "one", "two"}
