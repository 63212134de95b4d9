from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sipbridge.agents.sip.invite import invite_headers
from sipbridge.trace_context import TraceContext
from tests.agents.sip.support import IDENTITY

OURS = {
    "X-Sipbridge-Call-Id": "call-1",
    "X-Sipbridge-Client": "acme",
    "X-Sipbridge-Project": "billing",
    "X-Sipbridge-Contact-Id": "123",
    "X-Sipbridge-Main-Contact-Id": "456",
    "X-Sipbridge-Caller": "+15550100",
    "X-Sipbridge-Dialled": "+19995550001",
}


def _headers(passed: Mapping[str, str], configured: Mapping[str, str] | None = None) -> dict[str, str]:
    return invite_headers(replace(IDENTITY, headers=passed), configured or {})


def test_the_headers_identify_the_call_and_its_contact() -> None:
    assert _headers({}) == OURS


def test_a_traced_call_has_its_trace_which_the_caller_cannot_forge() -> None:
    forged = replace(IDENTITY, headers={"x-traceparent": "00-1-2-01"})
    traceparent = TraceContext.of(IDENTITY.call_id).traceparent
    assert invite_headers(forged, {}, traced=True) == {**OURS, "X-Traceparent": traceparent}


def test_configured_headers_override_passed_ones() -> None:
    headers = _headers({"X-Lang": "en", "x-queue": "caller's"}, {"X-Queue": "ours", "Authorization": "Bearer t"})
    assert headers == {"X-Lang": "en", "X-Queue": "ours", "Authorization": "Bearer t", **OURS}


def test_standard_headers_reach_the_agent_under_their_names() -> None:
    passed = {"User-to-User": "3030;encoding=hex", "P-Asserted-Identity": "<sip:+15550199@trunk>"}
    assert _headers(passed) == {**passed, **OURS}


@pytest.mark.parametrize("name", ["X-Sipbridge-Caller", "x-SIPBRIDGE-caller"])
def test_a_passed_header_does_not_override_ours(name: str) -> None:
    assert _headers({name: "+15550911"}) == OURS


def test_a_configured_header_does_not_override_ours() -> None:
    assert _headers({}, {"x-sipbridge-call-id": "other"}) == OURS


@pytest.mark.parametrize("name", ["X-Customer_Id", "x-Case.No", "X-A!b", "X-%*+`'~"])
def test_a_header_with_any_name_of_rfc_3261_is_passed(name: str) -> None:
    assert _headers({name: "1"}) == {name: "1", **OURS}


@pytest.mark.parametrize("name", ["X-", "X-A@B", "X-A B", "X-\u00c4", "X-A:B", "Subject", "X-A\r\nB", ""])
def test_only_a_header_with_an_invalid_name_is_dropped(name: str) -> None:
    assert _headers({name: "1", "X-Lang": "en"}) == {"X-Lang": "en", **OURS}


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\x00b", "a\x7f", "\udcff"])
def test_a_value_with_a_line_break_is_dropped(value: str) -> None:
    assert _headers({"X-Note": value, "X-Lang": "en"}) == {"X-Lang": "en", **OURS}


def test_a_line_has_at_most_8192_bytes() -> None:
    assert "X-Note" in _headers({"X-Note": "a" * (8192 - len("X-Note: "))})
    assert "X-Note" not in _headers({"X-Note": "a" * (8193 - len("X-Note: "))})
    assert "X-Note" not in _headers({"X-Note": "ü" * 4_100})


def test_the_passed_headers_leave_space_in_a_datagram() -> None:
    headers = _headers({f"X-Note-{place}": "a" * 8_000 for place in range(9)} | {"X-Lang": "en"})
    assert [name for name in headers if name not in OURS] == [*(f"X-Note-{place}" for place in range(6)), "X-Lang"]


def test_a_caller_number_with_a_line_break_is_dropped() -> None:
    headers = invite_headers(replace(IDENTITY, caller="+1\r\nEvil: 1", headers={}), {})
    assert headers == {name: value for name, value in OURS.items() if name != "X-Sipbridge-Caller"}
