from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sipbridge.handoffs.request import MAX_DATA_CHARACTERS, MAX_PARAMETER_CHARACTERS, HandoffRequest


def _read(body: object) -> HandoffRequest:
    return HandoffRequest.model_validate(body)


def test_everything_is_optional() -> None:
    request = _read({})
    assert (request.destination, request.reason, request.route, request.method) == (None, None, None, None)
    assert (request.utterance, request.sip_headers, request.parameters, request.data) == ("", {}, {}, {})
    assert (request.shared_id, request.transcript) == (None, ())


OPTIONAL = tuple(HandoffRequest.model_fields)


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_is_as_if_it_were_left_out(field: str) -> None:
    assert _read({"reason": "billing", field: None}) == _read({} if field == "reason" else {"reason": "billing"})


def test_null_within_headers_parameters_and_turns_is_as_if_it_were_left_out() -> None:
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
def test_roles_of_others_are_read_as_ours(written: str, kept: str) -> None:
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
def test_what_cannot_be_carried_out_is_refused(body: object) -> None:
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
def test_headers_cannot_break_out_of_their_line(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        _read({"sip_headers": {name: value}})


@pytest.mark.parametrize("name", ["X-Customer_Id", "x-Case.No", "X-A!b", "X-%*+`'~"])
def test_headers_may_have_any_name_of_rfc_3261(name: str) -> None:
    assert _read({"sip_headers": {name: "1"}}).sip_headers == {name: "1"}


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        _read({}).reason = "other"  # type: ignore[misc]  # that is the point


# ---------------------------------------------------------------- the shape of PolyAI functions


@pytest.mark.parametrize(
    ("handoff", "ours"),
    [
        (
            {"type": "cxone", "reason": "billing", "cxone": {"region": "na1", "signal": {"params": {"p1": "care"}}}},
            {"reason": "billing", "parameters": {"p1": "care"}},
        ),
        ({"type": "bye", "bye": {"sip_headers": {"X-A": "1"}}}, {"method": "release", "sip_headers": {"X-A": "1"}}),
        ({"type": "refer", "refer": {"phone_number": "+15550100"}}, {"method": "refer", "route": "+15550100"}),
        (
            {"type": "refer", "refer": {"phone_number": "+15550100", "refer_to": "sip:desk@127.0.0.1"}},
            {"method": "refer", "route": "sip:desk@127.0.0.1"},
        ),
        (
            {"type": "invite", "invite": {"phone_number": "1", "outbound_endpoint": "sip:desk@127.0.0.1"}},
            {"method": "invite", "route": "sip:desk@127.0.0.1"},
        ),
        ({"type": "refer"}, {"method": "refer"}),
        ({"invite": {"phone_number": "+15550100"}}, {"method": "invite", "route": "+15550100"}),
        (
            {"destination": "sales", "data": {"a": 1}, "shared_id": "s"},
            {"destination": "sales", "data": {"a": 1}, "shared_id": "s"},
        ),
        ({"type": "cxone", "cxone": None, "reason": None}, {}),
        ({"type": None, "cxone": None, "refer": {"refer_to": "sip:a@b"}}, {"method": "refer", "route": "sip:a@b"}),
        ({"cxone": {"signal": None, "sip_headers": None}, "data": None, "destination": None, "shared_id": None}, {}),
        ({"cxone": {"signal": {"params": {"p1": None, "p2": "x"}}}}, {"parameters": {"p2": "x"}}),
        (
            {"refer": {"phone_number": "1", "refer_to": None, "sip_headers": {"X-A": None}}},
            {"method": "refer", "route": "1"},
        ),
    ],
)
def test_polyais_shape_is_read(handoff: dict[str, Any], ours: dict[str, Any]) -> None:
    assert _read({"utterance": "One moment.", "handoff": handoff}) == _read({"utterance": "One moment.", **ours})


def test_polyais_utterance_may_be_missing() -> None:
    assert _read({"handoff": {"type": "bye"}}).utterance == ""
    assert _read({"utterance": None, "handoff": {"type": "bye"}}).utterance == ""


@pytest.mark.parametrize(
    "handoff",
    [
        "sales",
        None,
        [],
        {"type": "teleport"},
        {"type": ["refer"]},
        {"type": {"refer": {}}},
        {"type": 7},
        {"type": "refer", "refer": "sip:desk@127.0.0.1"},
        {"type": "refer", "refer": {"refer_to": 7}},
        {"type": "refer", "refer": {"sip_headers": {"Via": "x"}}},
        {"type": "refer", "refer": {"sip_headers": ["X-A"]}},
        {"type": "cxone", "cxone": {"signal": {"params": {"p10": "x"}}}},
        {"type": "cxone", "cxone": {"signal": {"params": ["p1"]}}},
        {"reason": 7},
    ],
)
def test_a_broken_polyai_shape_is_refused(handoff: object) -> None:
    with pytest.raises(ValidationError):
        _read({"handoff": handoff})


def test_data_is_nested_no_deeper_than_can_be_written_again() -> None:
    def nested(levels: int) -> dict[str, object]:
        inner: dict[str, object] = {}
        for level in range(levels - 1):
            inner = {"a": [inner] if level % 2 else inner}
        return inner

    assert HandoffRequest(data=nested(100)).model_dump_json()
    for levels in (220, 300, 900):
        with pytest.raises(ValidationError, match="levels"):
            HandoffRequest(data=nested(levels))
