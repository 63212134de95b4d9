from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sipbridge.handoffs.request import HandoffRequest


def _read(body: object) -> HandoffRequest:
    return HandoffRequest.model_validate(body)


@pytest.mark.parametrize(
    ("handoff", "fields"),
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
def test_a_function_result_is_read_as_a_handoff_request(handoff: dict[str, Any], fields: dict[str, Any]) -> None:
    assert _read({"utterance": "One moment.", "handoff": handoff}) == _read({"utterance": "One moment.", **fields})


def test_the_utterance_may_be_missing() -> None:
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
def test_an_invalid_function_result_is_refused(handoff: object) -> None:
    with pytest.raises(ValidationError):
        _read({"handoff": handoff})
