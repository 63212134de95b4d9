from __future__ import annotations

import time
from contextlib import suppress

import pytest

from sipbridge.telephony.sip_uri import (
    NO_IPV6,
    SipUri,
    check_at_signs,
    host_names,
    is_configurable,
    is_configurable_tel,
    is_unambiguous,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sip:a@b", ("sip", "a", "b", None, "", "")),
        ("sips:a:secret@b:5061;lr?X-A=1", ("sips", "a:secret", "b", "5061", ";lr", "?X-A=1")),
        ("sip:+1555;npdi;rn=+1777@b;user=phone", ("sip", "+1555;npdi;rn=+1777", "b", None, ";user=phone", "")),
        ("sip:a?b@c", ("sip", "a?b", "c", None, "", "")),  # a question mark is allowed in the user part
        ("sip:a%40b%3B@c", ("sip", "a%40b%3B", "c", None, "", "")),
        ("sip:[2001:db8::1]:5060;lr", ("sip", None, "[2001:db8::1]", "5060", ";lr", "")),
        ("sip:[2001:db8::1", ("sip", None, "[2001", "db8::1", "", "")),
        ("sip:@b", ("sip", "", "b", None, "", "")),
        ("sip:a@", ("sip", "a", "", None, "", "")),
        ("sip:a@:5060", ("sip", "a", "", "5060", "", "")),
        ("sip:a@b:", ("sip", "a", "b", "", "", "")),
        ("sip:", ("sip", None, "", None, "", "")),
        ("", (None, None, "", None, "", "")),
        ("host.test", (None, None, "host.test", None, "", "")),
        ("tel:+1555;phone-context=x.test", ("tel", None, "+1555", None, ";phone-context=x.test", "")),
        ("tel:a@b:c", ("tel", None, "a@b:c", None, "", "")),
    ],
)
def test_a_uri_is_split_into_its_parts_and_put_together_unchanged(text: str, parts: tuple[str | None, ...]) -> None:
    uri = SipUri.parse(text)
    assert tuple(uri) == parts
    assert str(uri) == text


@pytest.mark.parametrize(
    "text", ["sip:a@b@c", "a b", "sip:\r\n@x", "::::", "@@;?;?", "sip:a@[", "\x00", "sip:\u212a@b"]
)
def test_any_text_survives_a_split(text: str) -> None:
    assert str(SipUri.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:a:secret@b", "a"),
        ("sip:+1555;npdi@b", "+1555;npdi"),
        ("sip:a%40b@c", "a%40b"),
        ("sip:b", ""),
        ("sip::secret@b", ""),
        ("TEL:+1555;ext=1", "+1555"),
    ],
)
def test_the_user_part_is_without_the_password(text: str, user: str) -> None:
    assert SipUri.parse(text).user == user


@pytest.mark.parametrize(
    ("port", "number"),
    [
        ("0", 0),
        ("5060", 5060),
        ("65535", 65535),
        ("65536", 0),
        ("99999", 0),
        ("x", 0),
        ("", 0),
        ("\u0665", 0),
        ("9" * 5000, 0),
    ],
)
def test_a_port_is_a_number_of_at_most_16_bits(port: str, number: int) -> None:
    assert SipUri.parse(f"sip:a@b:{port}").port == number


@pytest.mark.parametrize(
    ("text", "kinds"),
    [("sip:b", {"sip"}), ("SIPS:b", {"sip", "sips"}), ("Tel:1", {"tel"}), ("mailto:a@b", set()), ("b", set())],
)
def test_the_scheme_is_read_in_any_case(text: str, kinds: set[str]) -> None:
    uri = SipUri.parse(text)
    checks = {"sip": uri.is_sip, "sips": uri.is_sips, "tel": uri.is_tel}
    assert {kind for kind, found in checks.items() if found} == kinds


def test_a_new_user_part_replaces_the_old_one_and_its_password() -> None:
    assert str(SipUri.parse("sip:a:secret@b:5060;lr").with_user("*31#")) == "sip:*31%23@b:5060;lr"


@pytest.mark.parametrize(
    "uri", ["sip:a@[::1]", "sips:[::1]:5061", "sip:a@b;maddr=[::1]", "sip:a@b;maddr=c;MADDR=[::1]"]
)
def test_an_ipv6_address_cannot_be_called(uri: str) -> None:
    with pytest.raises(ValueError, match=NO_IPV6):
        SipUri.parse(uri).check_callable()


@pytest.mark.parametrize("port", ["0", "65536", "99999", "123456", "x", ""])
def test_an_invalid_port_cannot_be_called(port: str) -> None:
    with pytest.raises(ValueError, match="has no valid port; write a number from 1 to 65535"):
        SipUri.parse(f"sip:a@b:{port};lr").check_callable()


@pytest.mark.parametrize("uri", ["sip:a@b", "sip:a@b:1", "sip:a@b:65535;lr", "tel:+1555:99999"])
def test_a_port_is_optional(uri: str) -> None:
    SipUri.parse(uri).check_port()


def test_a_callable_uri_has_a_use_of_srtp() -> None:
    assert SipUri.parse("sip:[::1]@b;srtp").check_callable() == "mandatory"


@pytest.mark.parametrize(
    "text",
    [
        "sip:b",
        "sips:a@b:5061;lr",
        "sip:a;x:y@b",
        "sip:[::1]:5060",
        "sip:a@b?X=1",
        "sip:a%3Fb%40c@d?X=%40e",
        "sip:b?X=1",
    ],
)
def test_an_operator_may_write(text: str) -> None:
    assert is_configurable(text)
    check_at_signs(text)


@pytest.mark.parametrize("text", ["b", "sip:", "sip:a@", "<sip:a@b>", "sip:a b@c", "sip:b:123456", "SIP:b"])
def test_an_operator_may_not_write(text: str) -> None:
    assert not is_configurable(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sip:b?X=1@c", "has a \\? before its @; write %40 for an @ after a \\?, and %3F for a \\? in the user part"),
        ("sip:a?b@c", "has a \\? before its @"),
        ("sip:b?X=1@c&Y=2@d", "has a \\? before its @"),
        ("sip:a@b?X=1@c", "has an @ besides the one before its host; write it as %40"),
        ("sip:a@b;x=1@c", "has an @ besides"),
        ("sip:a@b@c", "has an @ besides"),
        ("sip:a:p@ss@c", "has an @ besides"),
    ],
)
def test_an_at_sign_that_may_change_the_host_is_refused_everywhere(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        check_at_signs(text)
    assert not is_configurable(text)
    assert not is_configurable_tel(text)
    assert not is_unambiguous(text.lower())


def test_a_tel_uri_has_a_number() -> None:
    assert is_configurable_tel("tel:+1(555)00-1;ext=2")
    assert not is_configurable_tel("tel:")
    assert not is_configurable_tel("tel:care")


@pytest.mark.parametrize("text", ["sip:a@b", "sips:*31%23@10.0.0.1:5061;lr", "tel:+1555;ext=1", "sip:a@[::1]"])
def test_every_parser_reads_alike(text: str) -> None:
    assert is_unambiguous(text)


@pytest.mark.parametrize(
    "text",
    [
        "sip:a%40b@c",
        "sip:a%0d%0a@c",
        "sip:a:secret@b",
        "sip:a@b?x=1",
        "sip:a@b@c",
        "sip:a@",
        "sip:a@b;maddr=c",
        "sip:a@b;method=bye",
        "sip:a@b;ttl=1",
        "sip:a,b@c",
        "<sip:a@b>",
        "SIP:a@b",
    ],
)
def test_parsers_may_read_differently(text: str) -> None:
    assert not is_unambiguous(text)


@pytest.mark.parametrize(
    ("head", "repeated"),
    [
        ("", "sip:"),
        ("", "@"),
        ("", "["),
        ("", "?"),
        ("sip:", "a"),
        ("sip:", ";"),
        ("sip:", ":"),
        ("sip:", "a@"),
        ("sip:a@b", ";srtp"),
        ("sip:a@b", ";transport="),
        ("tel:", ";1"),
    ],
)
def test_a_very_long_text_takes_linear_time(head: str, repeated: str) -> None:
    text = head + repeated * (1_000_000 // len(repeated))
    began = time.process_time()
    uri = SipUri.parse(text)
    assert str(uri) == text
    assert len(uri.next_hop) == 3
    host_names([text])
    is_configurable(text)
    is_configurable_tel(text)
    is_unambiguous(text)
    with suppress(ValueError):
        uri.check_callable()
    assert time.process_time() - began < 5.0  # quadratic time would be minutes


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:a@b", None),
        ("sip:a@b;transport=TCP;lr", "tcp"),
        ("sips:a@b", "tls"),
        ("sips:a@b;transport=tcp", "tls"),
        ("sip:transport=tls@b;transport=udp?X-A=;transport=tls", "udp"),
        ("sip:a;transport=tls@b", None),
    ],
)
def test_the_transport_that_a_uri_names(uri: str, transport: str | None) -> None:
    assert SipUri.parse(uri).transport == transport


@pytest.mark.parametrize(
    ("uri", "sent", "use"),
    [
        ("sip:a@b", "sip:a@b", "disabled"),
        ("sip:a@b;srtp", "sip:a@b", "mandatory"),
        ("sip:a@b:5061;transport=tls;SRTP", "sip:a@b:5061;transport=tls", "mandatory"),
        ("sip:a@b;srtp=Optional;transport=tls", "sip:a@b;transport=tls", "optional"),
        ("sip:a@b;srtp=mandatory;lr?X-A=;srtp", "sip:a@b;lr?X-A=;srtp", "mandatory"),
        ("sip:a;srtp@b;srtpx=1", "sip:a;srtp@b;srtpx=1", "disabled"),
        ("sips:[::1]:5061;srtp", "sips:[::1]:5061", "mandatory"),
    ],
)
def test_the_srtp_parameter_is_removed_before_the_uri_is_sent(uri: str, sent: str, use: str) -> None:
    bare, found = SipUri.parse(uri).split_srtp()
    assert (str(bare), found) == (sent, use)


@pytest.mark.parametrize(
    ("uri", "transport", "dialled"),
    [
        ("sip:bot@example.net", None, "sip:bot@example.net"),
        ("sip:bot@example.net:5070", "tcp", "sip:bot@example.net:5070;transport=tcp"),
        ("sip:bot@example.net;transport=UDP", "tcp", "sip:bot@example.net;transport=UDP"),
        ("sip:bot@example.net;Transport=udp;lr", "tcp", "sip:bot@example.net;Transport=udp;lr"),
        ("sip:bot@example.net;lr?X-A=1", "udp", "sip:bot@example.net;lr;transport=udp?X-A=1"),
        ("sip:bot;transport=x@example.net", "tcp", "sip:bot;transport=x@example.net;transport=tcp"),
        ("sips:bot@example.net", "udp", "sips:bot@example.net"),
        ("sip:[::1]:5070", "tcp", "sip:[::1]:5070;transport=tcp"),
    ],
)
def test_the_transport_is_added_if_the_uri_names_none(uri: str, transport: str | None, dialled: str) -> None:
    assert str(SipUri.parse(uri).with_transport(transport)) == dialled


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:a@b.test", ("b.test", 0, "")),
        ("sip:b.test:5070", ("b.test", 5070, "")),
        ("sip:a:x@b.test;transport=TCP", ("b.test", 0, "tcp")),
        ("sips:a@192.0.2.1:5071;lr", ("192.0.2.1", 5071, "tls")),
        ("sip:a@b.test:5070;maddr=c.test", ("c.test", 5070, "")),
        ("sip:a;maddr=c.test@b.test?X-A=b:1", ("b.test", 0, "")),
    ],
)
def test_the_next_hop_of_a_uri(uri: str, hop: tuple[str, int, str]) -> None:
    assert SipUri.parse(uri).next_hop == hop


def test_the_same_host_with_another_port_or_case_is_the_same() -> None:
    assert SipUri.parse("sip:a@B.test:5070").has_same_host(SipUri.parse("sips:c@b.test"))
    assert not SipUri.parse("sip:a@b.test").has_same_host(SipUri.parse("sip:a@b.test.evil.test"))
    assert not SipUri.parse("sip:a@b.test;maddr=c.test").has_same_host(SipUri.parse("sip:a@b.test"))


@pytest.mark.parametrize("parameters", [";srtp=", ";srtp=disabled", ";srtp=yes", ";srtp;srtp", ";srtp=optional;srtp"])
def test_an_invalid_srtp_parameter_is_refused(parameters: str) -> None:
    with pytest.raises(ValueError, match="no valid srtp parameter; write ;srtp=mandatory or ;srtp=optional, once"):
        SipUri.parse(f"sip:a@b{parameters}").split_srtp()


def test_a_use_of_srtp_is_added_before_the_headers() -> None:
    assert str(SipUri.parse("sip:a@b;lr?X=1").with_srtp("optional")) == "sip:a@b;lr;srtp=optional?X=1"
    assert str(SipUri.parse("sip:a@b").with_srtp("disabled")) == "sip:a@b"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("<sip:a@sbc.example.com:5060;lr>", {"sbc.example.com"}),
        ("<sip:sbc_1;transport=tcp>", {"sbc_1"}),
        ("sips:a@one.example, <sip:two.example;lr>", {"one.example", "two.example"}),
        ("<sip:a@192.0.2.1:5060>", set()),
        ("<sip:a@[2001:db8::1]>", set()),
        ("<tel:+1555>", set()),
        ("*", set()),
        ("<sip:+1555;npdi@sbc.example.com>", {"sbc.example.com"}),
    ],
)
def test_addresses_are_not_host_names(uri: str, names: set[str]) -> None:
    assert host_names([uri]) == names
