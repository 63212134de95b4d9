from __future__ import annotations

import gzip
import json

import pytest

from sipbridge.handoffs.record import Turn
from sipbridge.handoffs.request import HandoffRequest
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import FakeCall

BOMB = gzip.compress(bytes(10_000_000), compresslevel=1)


@pytest.fixture
def call(bridge: Bridge) -> FakeCall:
    return bridge.directory.add(make_record())


async def test_a_handoff_is_accepted_and_passed_on(bridge: Bridge, call: FakeCall) -> None:
    body = {"destination": "care", "reason": "asked", "data": {"order": 7}, "parameters": {"p1": {"a": 1}}}
    assert await bridge.post("calls/call-1/handoff", body=body) == (
        202,
        {"id": "call-1", "state": "handoff_initiated"},
    )
    [(request, requested_by)] = call.requests
    assert requested_by == "api"
    assert (request.destination, request.reason, request.data) == ("care", "asked", {"order": 7})
    assert request.parameters == {"p1": '{"a":1}'}


@pytest.mark.parametrize("body", [b"", b"  ", b"{}"])
async def test_everything_in_a_handoff_is_optional(bridge: Bridge, call: FakeCall, body: bytes) -> None:
    status, _ = await bridge.post("calls/call-1/handoff", body=body)
    assert status == 202
    assert len(call.requests) == 1


async def test_null_in_any_field_equals_a_missing_field(bridge: Bridge, call: FakeCall) -> None:
    body: dict[str, object] = dict.fromkeys(HandoffRequest.model_fields)
    assert (await bridge.post("calls/call-1/handoff", body=body))[0] == 202
    assert call.requests[0][0] == HandoffRequest()


async def test_foreign_roles_are_accepted_and_shown_as_ours(bridge: Bridge, call: FakeCall) -> None:
    roles = ["user", "customer", "assistant", "caller", "agent"]
    turns = [{"role": role, "text": "Hello", "at": None} for role in roles]
    assert (await bridge.post("calls/call-1/turns", body={"turns": turns}))[0] == 202
    assert (await bridge.post("calls/call-1/turns", body=turns[0]))[0] == 202
    assert [turn.role for turn in call.turns] == ["caller", "caller", "agent", "caller", "agent", "caller"]


async def test_the_result_of_a_polyai_function_hands_off(bridge: Bridge, call: FakeCall) -> None:
    body = {
        "utterance": "Bye",
        "handoff": {"type": "cxone", "reason": "asked", "cxone": {"signal": {"params": {"p1": "x"}}}},
    }
    status, _ = await bridge.post("calls/call-1/handoff", body=body)
    assert status == 202
    assert call.requests[0][0].parameters == {"p1": "x"}


@pytest.mark.usefixtures("call")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"destination": 7}, "destination"),
        ({"destination": "c0ffee"}, "destination"),
        ({"unheard_of": "c0ffee"}, "unheard_of"),
        ({"data": ["c0ffee"]}, "data"),
        ({"data": {"x": "c0ffee" * 20_000}}, "data"),
        ({"parameters": {"p10": "c0ffee"}}, "parameters.p10"),
        ({"parameters": {"p1": "c0ffee" * 9000}}, "parameters.p1"),
        ({"sip_headers": {"X-A": "c0ffee\r\nX-B: c"}}, "sip_headers.X-A"),
        ({"sip_headers": {"Via": "c0ffee"}}, "sip_headers.Via"),
        ({"sip_headers": {f"X-{number}": "c0ffee" * 170 for number in range(50)}}, "sip_headers"),
        ({"transcript": [{"role": "c0ffee", "text": "x"}]}, "transcript.0.role"),
        ({"transcript": [{"role": "agent", "text": "x", "at": "c0ffee"}]}, "transcript.0.at"),
        (["c0ffee"], ""),
        ("c0ffee", ""),
        (b"null", ""),
        ({"handoff": "c0ffee"}, ""),
    ],
)
async def test_a_wrong_handoff_is_422_and_names_the_field_without_its_value(
    bridge: Bridge, body: object, field: str
) -> None:
    status, response = await bridge.post("calls/call-1/handoff", body=body)
    assert status == 422
    assert response["error_message"].startswith(field)
    assert "c0ffee" not in response["error_message"]


@pytest.mark.usefixtures("call")
@pytest.mark.parametrize("path", ["handoff", "turns"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data":' * 5000,
        b'{"data":{"n":' + b"9" * 10_000 + b"}}",
        b'{"data":{"n":NaN}}',
        b'{"reason":"\\ud800"}',
        b'{"reason":"a"} trailing',
        b"\x00",
    ],
)
async def test_a_body_that_is_not_json_is_400(bridge: Bridge, path: str, body: bytes) -> None:
    status, response = await bridge.post(f"calls/call-1/{path}", body=body)
    assert status == 400
    assert response["error_message"].startswith("the body is not valid JSON")


@pytest.mark.usefixtures("call")
async def test_many_errors_make_a_short_message(bridge: Bridge) -> None:
    _, response = await bridge.post("calls/call-1/handoff", body={"x" * 500 + str(n): 1 for n in range(1000)})
    assert len(response["error_message"]) < 1200
    assert response["error_message"].endswith("and 995 more")


@pytest.mark.usefixtures("call")
async def test_a_body_over_a_megabyte_is_413(bridge: Bridge) -> None:
    status, response = await bridge.post("calls/call-1/handoff", body=b" " * 1_000_001)
    assert (status, response["code"]) == (413, "too_large")


@pytest.mark.usefixtures("call")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "unknown"])
async def test_a_compressed_body_is_refused_and_not_decompressed(bridge: Bridge, encoding: str) -> None:
    headers = {"x-api-key": "billing-key-0123456789", "Content-Encoding": encoding}
    url = bridge.url("calls/call-1/handoff")
    async with bridge.session.post(url, data=BOMB, headers=headers) as response:
        assert response.status == 415


@pytest.mark.usefixtures("call")
async def test_data_nested_to_the_limit_is_returned(bridge: Bridge) -> None:
    deep = "[" * 197 + "]" * 197
    status, _ = await bridge.post("calls/call-1/handoff", body=f'{{"data":{{"deep":{deep}}}}}'.encode())
    assert status == 202
    _, shown = await bridge.get("handoff_state?id=call-1")
    assert json.loads(shown["data"]["deep"]) == json.loads(deep)
    record = bridge.directory.calls.pop().record
    await bridge.store.put(record)
    assert (await bridge.get("calls/call-1"))[0] == 200


@pytest.mark.parametrize("action", ["handoff", "hangup"])
async def test_a_call_that_is_handed_off_or_has_ended_is_409(bridge: Bridge, action: str) -> None:
    bridge.directory.add(make_record("live", handoff=make_handoff()))
    await bridge.store.put(make_record("over"))
    for call_id in ("live", "over"):
        status, response = await bridge.post(f"calls/{call_id}/{action}")
        assert (status, response["code"]) == (409, "conflict")


@pytest.mark.parametrize("action", ["handoff", "hangup", "turns"])
async def test_an_unknown_call_is_404(bridge: Bridge, action: str) -> None:
    bridge.directory.add(make_record("theirs", project="sales"))
    for call_id in ("theirs", "none", "%00"):
        status, _ = await bridge.post(
            f"calls/{call_id}/{action}", body={"role": "agent", "text": "x"} if action == "turns" else {}
        )
        assert status == 404


async def test_a_call_is_hung_up(bridge: Bridge, call: FakeCall) -> None:
    assert await bridge.post("calls/call-1/hangup") == (202, {"id": "call-1"})
    assert call.hung_up


@pytest.mark.parametrize("wrapped", [True, False])
async def test_turns_are_added_singly_or_as_a_list(bridge: Bridge, call: FakeCall, *, wrapped: bool) -> None:
    turn = {"role": "agent", "text": "Hello"}
    response = await bridge.post("calls/call-1/turns", body={"turns": [turn, turn]} if wrapped else turn)
    assert response == (202, {"id": "call-1"})
    assert call.turns == [Turn(role="agent", text="Hello")] * (2 if wrapped else 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "turns"),
        (b'{"turns":[]}', "turns"),
        (b'{"role":"agent"}', "turns.0.text"),
        (b'{"turns":[{"role":"agent","text":"x"},{"role":"dog","text":"x"}]}', "turns.1.role"),
    ],
)
async def test_wrong_turns_are_422(bridge: Bridge, call: FakeCall, body: bytes, field: str) -> None:
    status, response = await bridge.post("calls/call-1/turns", body=body)
    assert status == 422
    assert response["error_message"].startswith(field)
    assert call.turns == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"destination": "Mr Doe"}, "destination: this project has no such destination"),
        ({"reason": 7}, "reason must be text"),
        ({"John Doe": 1}, "a field is not a known field"),
        (b"no JSON", "the body is not valid JSON (line 1, column 1)"),
    ],
    ids=["destination", "type", "unknown field", "no JSON"],
)
async def test_the_call_records_why_a_handoff_was_refused(
    bridge: Bridge, call: FakeCall, body: bytes | dict[str, object], why: str
) -> None:
    status, _ = await bridge.post("calls/call-1/handoff", body=body)
    assert status in (400, 422)
    [(fault, noted)] = call.refusals
    assert fault == "bad_handoff"
    assert noted.startswith(why[:40])
    assert "Doe" not in noted


async def test_a_late_or_unauthorized_handoff_is_not_recorded_as_refused(bridge: Bridge, call: FakeCall) -> None:
    call.record = make_record(handoff=make_handoff())
    assert (await bridge.post("calls/call-1/handoff", body={}))[0] == 409
    assert call.refusals == []
