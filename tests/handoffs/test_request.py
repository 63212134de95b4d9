from __future__ import annotations

import pytest
from pydantic import ValidationError

from sipbridge.handoffs.json_values import MAX_DATA_CHARACTERS
from sipbridge.handoffs.request import MAX_PARAMETER_CHARACTERS, HandoffRequest


def _read(body: object) -> HandoffRequest:
    return HandoffRequest.model_validate(body)


def test_every_field_is_optional() -> None:
    request = _read({})
    assert (request.destination, request.reason, request.route, request.method) == (None, None, None, None)
    assert (request.utterance, request.sip_headers, request.parameters, request.data) == ("", {}, {}, {})
    assert (request.shared_id, request.transcript) == (None, ())


OPTIONAL = tuple(HandoffRequest.model_fields)


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_null_field_is_as_if_not_set(field: str) -> None:
    assert _read({"reason": "billing", field: None}) == _read({} if field == "reason" else {"reason": "billing"})


def test_a_null_header_parameter_or_time_is_as_if_not_set() -> None:
    body = {
        "parameters": {"p1": None, "p2": "a"},
        "sip_headers": {"X-A": None, "X-B": "b"},
        "transcript": [{"role": "agent", "text": "Hello", "at": None}],
    }
    request = _read(body)
    assert (request.parameters, request.sip_headers) == ({"p2": "a"}, {"X-B": "b"})
    assert request.transcript[0].at is None
    assert _read({"data": {"order": None}}).data == {"order": None}, "data is the agent's own"


@pytest.mark.parametrize(
    ("written", "kept"), [("user", "caller"), ("customer", "caller"), ("assistant", "agent"), ("agent", "agent")]
)
def test_the_roles_of_other_vendors_are_accepted(written: str, kept: str) -> None:
    (turn,) = _read({"transcript": [{"role": written, "text": "Hello"}]}).transcript
    assert turn.role == kept
    assert turn.model_dump()["role"] == kept


def test_a_full_request_is_read() -> None:
    request = _read(
        {
            "destination": "sales",
            "reason": "billing",
            "utterance": "One moment.",
            "route": "sip:desk@127.0.0.1",
            "sip_headers": {"X-Queue": "vip"},
            "parameters": {"p1": "a", "p9": {"b": [1]}, "p2": 7, "p3": True},
            "data": {"order": {"id": 7}},
            "shared_id": "crm-1",
            "transcript": [{"role": "caller", "text": "hello", "at": "2026-03-01T12:00:00+01:00"}],
        }
    )
    assert request.parameters == {"p1": "a", "p9": '{"b":[1]}', "p2": "7", "p3": "true"}
    assert request.transcript[0].role == "caller"


@pytest.mark.parametrize(
    "body",
    [
        {"unknown": 1},
        {"parameters": {"p10": "x"}},
        {"parameters": {"p0": "x"}},
        {"parameters": {"p1": "x" * (MAX_PARAMETER_CHARACTERS + 1)}},
        {"data": []},
        {"data": {"x": "y" * MAX_DATA_CHARACTERS}},
        {"data": {"x": float("nan")}},
        {"data": {"x": float("inf")}},
        {"method": "teleport"},
        {"destination": 7},
        {"destination": "a\nb"},
        {"destination": "x" * 257},
        {"reason": "a\x00b"},
        {"shared_id": ""},
        {"shared_id": "x" * 257},
        {"route": "x" * 1025},
        {"transcript": [{"role": "somebody", "text": "x"}]},
        {"transcript": [{"role": "User", "text": "x"}]},
        {"transcript": [{"role": ["user"], "text": "x"}]},
        {"transcript": [{"role": None, "text": "x"}]},
        {"transcript": [{"role": "agent", "text": ""}]},
        {"transcript": [{"role": "agent", "text": "x", "at": "2026-03-01T12:00:00"}]},
        "sales",
        ["sales"],
        None,
    ],
)
def test_an_invalid_request_is_refused(body: object) -> None:
    with pytest.raises(ValidationError):
        _read(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Route", "<sip:evil.example;lr>"),
        ("Via", "x"),
        ("X-", "x"),
        ("X-A: b\r\nVia", "x"),
        ("X-A\n", "x"),
        ("X-A b", "x"),
        ("X-\u00c4", "x"),
        ("X-" + "a" * 61, "x"),
        ("X-A", "x\r\nVia: y"),
        ("X-A", "x\ny"),
        ("X-A", "x\x00"),
        ("X-A", "x" * 1025),
        ("X-A", 7),
    ],
)
def test_a_header_is_an_x_header_without_line_breaks(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        _read({"sip_headers": {name: value}})


@pytest.mark.parametrize("name", ["X-Customer_Id", "x-Case.No", "X-A!b", "X-%*+`'~"])
def test_a_header_may_have_any_name_that_rfc_3261_allows(name: str) -> None:
    assert _read({"sip_headers": {name: "1"}}).sip_headers == {name: "1"}


@pytest.mark.parametrize("character", ["x", "é"])
def test_headers_that_no_message_can_carry_are_refused(character: str) -> None:
    value = character * (1000 // len(character.encode()))
    headers = {f"X-{number:02}": value for number in range(48)}  # 1,008 bytes each
    assert _read({"sip_headers": headers}).sip_headers == headers
    with pytest.raises(ValidationError, match="49152 bytes"):
        _read({"sip_headers": {**headers, "X-48": value}})


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        _read({}).reason = "other"  # type: ignore[misc]  # frozen


def test_data_that_is_nested_too_deeply_to_be_stored_is_refused() -> None:
    def nested(levels: int) -> dict[str, object]:
        inner: dict[str, object] = {}
        for level in range(levels - 1):
            inner = {"a": [inner] if level % 2 else inner}
        return inner

    assert HandoffRequest(data=nested(100)).model_dump_json()
    for levels in (220, 300, 900):
        with pytest.raises(ValidationError, match="levels"):
            HandoffRequest(data=nested(levels))
