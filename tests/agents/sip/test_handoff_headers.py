from __future__ import annotations

import random

import pytest

from sipbridge.agents.sip.handoff_headers import asks_for_handoff, read_bye, read_refer
from sipbridge.calls.ports.sip import Referral
from sipbridge.handoffs.request import HandoffRequest
from tests.agents.sip.support import DESTINATIONS


def _refer(refer_to: str, **headers: str) -> HandoffRequest:
    return read_refer(
        Referral(refer_to, {name.replace("_", "-"): text for name, text in headers.items()}), DESTINATIONS
    )


def _bye(**headers: str) -> HandoffRequest:
    return read_bye({name.replace("_", "-"): text for name, text in headers.items()})


# ------------------------------------------------------------ REFER


def test_a_user_part_that_names_a_destination_selects_it_on_any_host() -> None:
    assert _refer("<sip:sales@anywhere.example.net>") == HandoffRequest(destination="sales")
    assert _refer("<sip:%C3%9Cber%20uns@h>") == HandoffRequest(destination="Über uns")


@pytest.mark.parametrize("uri", ["sip:+15550199@127.0.0.1:5080", "tel:+15550199", "sip:SALES@h", "sip:127.0.0.1"])
def test_any_other_uri_is_a_route(uri: str) -> None:
    assert _refer(f"<{uri}?X-Handoff-Reason=asked>") == HandoffRequest(route=uri, reason="asked")


def test_the_headers_of_the_uri_fill_the_request() -> None:
    request = _refer(
        "<sip:sales@h?X-Handoff-Reason=asked%20for%20it&X-Handoff-P4=100%25&X-Handoff-Data-Order-Id=7"
        "&X-Foo-ID=bar&Subject=hello&X-Handoff-Data=%7B%22n%22%3A1%7D>"
    )
    assert request == HandoffRequest(
        destination="sales",
        reason="asked for it",
        parameters={"p4": "100%"},
        data={"n": 1, "order_id": "7"},
        sip_headers={"X-Foo-ID": "bar"},
    )


def test_headers_of_the_uri_that_no_message_can_carry_are_refused() -> None:
    headers = "&".join(f"X-Note-{number}={'x' * 1000}" for number in range(50))
    with pytest.raises(ValueError, match="Refer-To must not exceed 49152 bytes"):
        _refer(f"<sip:sales@h?{headers}>")


def test_headers_of_the_refer_override_the_uri_and_are_not_decoded() -> None:
    request = _refer(
        "<sip:sales@h?x-handoff-reason=uri&X-Handoff-P4=uri&X-Handoff-P5=uri>",
        X_Handoff_Reason="100%25",
        X_HANDOFF_P4="refer",
        X_Foo="not for the transfer",
    )
    assert request == HandoffRequest(destination="sales", reason="100%25", parameters={"p4": "refer", "p5": "uri"})


def test_a_destination_header_overrides_the_uri() -> None:
    assert _refer("<sip:sales@h>", X_Handoff_Destination="care").destination == "care"
    request = _refer("<sip:sales@h>", X_Handoff_Route="sip:+15550199@127.0.0.1")
    assert (request.destination, request.route) == ("sales", "sip:+15550199@127.0.0.1")


@pytest.mark.parametrize(
    ("refer_to", "says"),
    [
        ("<sip:care@h?X-Handoff-P10=1>", "X-Handoff-P10"),
        ("<sip:care@h?X-Handoff-P0=1>", "X-Handoff-P0"),
        (f"<sip:care@h?X-Handoff-P4={'secret' * 17_000}>", "X-Handoff-P4"),
        (f"<sip:care@h?X-Handoff-Reason={'secret' * 50}>", "X-Handoff-Reason"),
        (f"<sip:{'secret' * 17_000}@h>", "X-Handoff-Route"),
        ("<sip:care@h?X-Handoff-Reason=secret%0d%0aEvil%3A%201>", "X-Handoff-Reason"),
        ("<sip:care@h?X-Foo=secret%0d%0aEvil%3A%201>", "X-Foo"),
        (f"<sip:care@h?X-Foo={'secret' * 200}>", "X-Foo"),
        (f"<sip:care@h?X-Foo-{'a' * 60}=secret>", "X-Foo"),
        (f"<sip:care@h?X-{'a' * 61}=1>", "X-Aaa"),
        ("<sip:care@h?X-Handoff-Data=secret>", "X-Handoff-Data is not valid JSON"),
        ("<sip:care@h?X-Handoff-Data=[]>", "X-Handoff-Data must be an object"),
        ("<sip:care@h?X-Handoff-Data=%7B%22a%22%3ANaN%7D>", "X-Handoff-Data is not valid JSON"),
        ("<sip:care@h?X-Handoff-Data=%7B%22a%22%3A%22%5Cud800%22%7D>", "X-Handoff-Data is not valid JSON"),
        (f"<sip:care@h?X-Handoff-Data-Key={'secret' * 17_000}>", "X-Handoff-Data"),
        ("<sip:care@h?X-Handoff-Data-=1>", "X-Handoff-Data-NAME"),
        ("<sip:care@h?X-Handoff-Data-a.b=1>", "X-Handoff-Data-NAME"),
        (f"<sip:care@h?X-Handoff-Shared-Id={'secret' * 50}>", "X-Handoff-Shared-Id"),
        ("<sip:care@h?Replaces=1%3Bto-tag%3D2>", "attended"),
        ("<sip:care%@h>", "Refer-To"),
    ],
)
def test_the_error_of_an_unreadable_header_names_it_without_its_value(refer_to: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        _refer(refer_to)
    assert "secret" not in str(caught.value).lower().replace("x-foo.secret", "")
    assert len(str(caught.value)) < 300


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    for depth in (500, 1_000, 1_020, 100_000):
        text = '{"a":' * depth + "1" + "}" * depth
        try:
            _bye(X_Handoff_Data=text)
        except ValueError as error:
            assert "X-Handoff-Data" in str(error)  # noqa: PT017 (some depths are valid)


# ------------------------------------------------------------ BYE


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({}, False),
        ({"X-Reason": "done"}, False),
        ({"X-Handoff-Destination": "sales"}, True),
        ({"x-handoff-reason": ""}, True),
        ({"X-HANDOFF-P4": "1"}, True),
    ],
)
def test_a_bye_hands_off_if_it_has_a_handoff_header(headers: dict[str, str], asks: bool) -> None:  # noqa: FBT001
    assert asks_for_handoff(headers) is asks


def test_a_bye_carries_every_field_of_a_refer() -> None:
    request = _bye(
        X_Handoff_Destination="sales",
        X_Handoff_Reason="asked",
        X_Handoff_Utterance="Grüße, I am handing you over.",
        X_Handoff_Shared_Id="order-7",
        X_Handoff_Route="tel:+15550199",
        X_Handoff_P4="four",
        X_Handoff_P9="",
        X_Handoff_Data='{"n": 1, "order_id": 1}',
        X_Handoff_Data_Order_Id="7",
        X_Handoff_Unheard_Of="1",
        X_Foo="bar",
    )
    assert request == HandoffRequest(
        destination="sales",
        reason="asked",
        utterance="Grüße, I am handing you over.",
        shared_id="order-7",
        route="tel:+15550199",
        parameters={"p4": "four", "p9": ""},
        data={"n": 1, "order_id": "7"},
    )


def test_an_empty_header_is_as_if_missing() -> None:
    empty = dict.fromkeys(("Destination", "Reason", "Utterance", "Shared_Id", "Route", "Data"), "")
    assert _bye(**{f"X_Handoff_{name}": text for name, text in empty.items()}) == HandoffRequest()


@pytest.mark.parametrize("name", ["Reason", "P4", "Data", "Data_Key"])
def test_a_value_that_is_not_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="X-Handoff-"):
        _bye(**{f"X_Handoff_{name}": "\udcff"})


def test_arbitrary_input_is_parsed_or_refused() -> None:
    names = ["Destination", "Reason", "P4", "P10", "P", "P4x", "Data", "Data-", "Data-A", "Data-A.B", "Route", "", "-"]
    pieces = [
        "a",
        "%41",
        "%",
        "\r\n",
        "\x00",
        "{",
        "}",
        '"',
        ":",
        "[",
        "]",
        "\ud800",
        "ü",
        " ",
        "1e999",
        "NaN",
        "\\u0000",
    ]
    dice = random.Random(20_260_102)  # noqa: S311 (the same garbage each time)
    read = 0
    for _ in range(5_000):
        headers = {
            f"X-Handoff-{dice.choice(names)}": "".join(dice.choices(pieces, k=dice.randrange(6)))
            for _ in range(dice.randrange(1, 4))
        }
        in_uri = "&".join(f"{name}={text}" for name, text in headers.items())
        for refer_to, beside in (("<sip:care@h>", headers), (f"<sip:care@h?{in_uri}>", {})):
            try:
                request = read_refer(Referral(refer_to, beside), DESTINATIONS)
            except ValueError:
                continue
            read += 1
            request.model_dump_json()
    assert read > 0
