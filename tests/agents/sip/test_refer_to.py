from __future__ import annotations

import random

import pytest

from sipbridge.agents.sip.refer_to import read_refer_to


@pytest.mark.parametrize(
    ("value", "uri", "user"),
    [
        ("<sip:care@example.net>", "sip:care@example.net", "care"),
        ("sip:care@example.net", "sip:care@example.net", "care"),
        ("  <sip:care@example.net:5070;transport=tcp>  ", "sip:care@example.net:5070;transport=tcp", "care"),
        ("sip:care@example.net;tag=1", "sip:care@example.net", "care"),
        ('"Care <desk>" <sip:care@example.net>', "sip:care@example.net", "care"),
        (r'"a \" b" <sip:care@example.net>;x=1', "sip:care@example.net", "care"),
        ("Care Desk <sips:care@example.net>", "sips:care@example.net", "care"),
        ("<sip:%63are@example.net>", "sip:%63are@example.net", "care"),
        ("<sip:%C3%9Cber%20uns@example.net>", "sip:%C3%9Cber%20uns@example.net", "Über uns"),
        ("<sip:care:secret@example.net>", "sip:care:secret@example.net", "care"),
        ("<sip:+1555;ext=7@example.net>", "sip:+1555;ext=7@example.net", "+1555"),
        ("<sip:a%3Ab@example.net>", "sip:a%3Ab@example.net", "a:b"),
        ("<sip:example.net>", "sip:example.net", ""),
        ("<sip:care@[::1]:5060>", "sip:care@[::1]:5060", "care"),
        ("<tel:+15550199>", "tel:+15550199", "+15550199"),
        ("tel:+15550199;ext=7", "tel:+15550199", "+15550199"),
        ("<tel:+15550199;phone-context=x>", "tel:+15550199;phone-context=x", "+15550199"),
    ],
)
def test_an_address_is_read_with_and_without_brackets(value: str, uri: str, user: str) -> None:
    read = read_refer_to(value)
    assert (read.uri, read.user) == (uri, user)
    assert not read.headers


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ("<sip:care@h?X-A=1&x-b=2>", {"X-A": "1", "x-b": "2"}),
        ("sip:care@h?X-A=1;tag=2", {"X-A": "1"}),
        ("<sip:care@h?X-A=100%25%20%C3%BC%2C+1>", {"X-A": "100% ü,+1"}),
        ("<sip:care@h?X-A=a=b&&X-B>", {"X-A": "a=b", "X-B": ""}),
        ("<sip:care@h?X-A=1&X-a=2>", {"X-A": "1"}),
        ("<sip:care@h?X%2DA=1>", {"X-A": "1"}),
        ("<sip:care@h?X-A=a@b>", {"X-A": "a@b"}),
    ],
)
def test_the_headers_of_its_uri_are_decoded(value: str, headers: dict[str, str]) -> None:
    read = read_refer_to(value)
    assert dict(read.headers) == headers
    assert read.user == "care"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "<>",
        "care",
        "<care>",
        "sip:",
        "<sip:care@h",
        "sip:care@h>",
        "<<sip:care@h>>",
        "<sip:a@h><sip:b@h>",
        "<sip:a@h>, <sip:b@h>",
        '"open <sip:care@h>',
        "sip:ca re@h",
        "<sip:care@h> tail",
        "<sip:care%@h>",
        "<sip:care%2@h>",
        "<sip:%zz@h>",
        "<sip:%ff@h>",
        "<sip:%ed%a0%80@h>",
        "<sip:care@h?X-A=%c3>",
        "<sip:care@h?X-A=%>",
        "<sip:care@h?X%20A=1>",
        "<sip:care@h?X%0d%0aA=1>",
        "<sip:care@h?=1>",
        "<sip:\udcff@h>",
    ],
)
def test_an_invalid_address_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(ValueError, match=r"^Refer-To ?") as caught:
        read_refer_to(value)
    assert len(str(caught.value)) < 100
    assert "%zz" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "<" * 100_000,
        " " * 100_000 + "<",
        '"' + "\\" * 99_999,
        "<sip:a@h>" + " " * 100_000 + "x",
        "sip:" + "%25" * 33_000,
    ],
)
def test_a_long_value_takes_linear_time(value: str) -> None:
    # Quadratic time would exceed the timeout of the tests.
    for _ in range(20):
        with pytest.raises(ValueError, match="Refer-To") if not value.startswith("sip") else _nothing_raised():
            read_refer_to(value)


class _nothing_raised:  # noqa: N801 (reads as pytest.raises does)
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_arbitrary_input_is_parsed_or_refused() -> None:
    pieces = [
        "<",
        ">",
        "sip:",
        "tel:",
        "care",
        "@",
        "h",
        "?",
        "&",
        "=",
        "%",
        "%41",
        "%0d%0a",
        "%ff",
        ";",
        '"',
        "\\",
        " ",
    ]
    pieces += ["\x00", "\r\n", "ü", "\ud800", ":", ",", "X-Handoff-P4", "[", "]"]
    dice = random.Random(20_260_101)  # noqa: S311 (the same garbage each time)
    read = 0
    for _ in range(5_000):
        value = "".join(dice.choices(pieces, k=dice.randrange(12)))
        try:
            found = read_refer_to(value)
        except ValueError:
            continue
        read += 1
        assert found.uri in value
        assert not set(found.uri) & set('<>"? ')
    assert read > 0
