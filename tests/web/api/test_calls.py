from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from sipbridge.calls.model import CallState
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import Turn
from tests.store.records import START, make_handoff, make_record
from tests.web.conftest import Bridge


async def ids(bridge: Bridge, query: str = "") -> list[str]:
    status, body = await bridge.get(f"calls{query}")
    assert status == 200
    return [call["id"] for call in body["calls"]]


async def test_live_and_ended_calls_are_in_one_list_newest_first(bridge: Bridge) -> None:
    await bridge.store.put(make_record("ended-1", started_at=START + timedelta(minutes=1)))
    await bridge.store.put(make_record("ended-3", started_at=START + timedelta(minutes=3)))
    bridge.directory.add(make_record("live-2", started_at=START + timedelta(minutes=2)))
    bridge.directory.add(make_record("live-4", started_at=START + timedelta(minutes=4)))
    assert await ids(bridge) == ["live-4", "ended-3", "live-2", "ended-1"]


async def test_pages_have_every_call(bridge: Bridge) -> None:
    for minute in range(10):
        record = make_record(f"call-{minute}", started_at=START + timedelta(minutes=minute))
        await bridge.store.put(record)
        if minute % 3 == 0:
            bridge.directory.add(record)
    seen: list[str] = []
    query = "?limit=3"
    while page := (await bridge.get(f"calls{query}"))[1]["calls"]:
        seen += [call["id"] for call in page]
        query = f"?limit=3&before={quote(page[-1]['started_at'])}"
    assert seen == [f"call-{minute}" for minute in reversed(range(10))]


async def test_a_live_call_replaces_its_stored_record(bridge: Bridge) -> None:
    await bridge.store.put(make_record())
    bridge.directory.add(make_record(state=CallState.HANDING_OFF, handoff=make_handoff()))
    _, body = await bridge.get("calls")
    assert [call["state"] for call in body["calls"]] == ["handing_off"]


async def test_another_projects_calls_are_not_listed(bridge: Bridge) -> None:
    await bridge.store.put(make_record("theirs", project="sales"))
    bridge.directory.add(make_record("theirs too", client="other"))
    assert await ids(bridge) == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=1e99",
        "limit=" + "9" * 5000,
        "before=yesterday",
        "before=2026-03-01T12:00",
    ],
)
async def test_an_invalid_page_is_400(bridge: Bridge, query: str) -> None:
    status, body = await bridge.get(f"calls?{query}")
    assert status == 400
    assert body["error_message"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_the_first_and_the_last_date_are_accepted(bridge: Bridge, before: str) -> None:
    assert await ids(bridge, f"?before={quote(before)}") == []


async def test_a_call_is_shown_with_its_transcript_and_handoff(bridge: Bridge) -> None:
    record = make_record(
        state=CallState.ENDED,
        answered_at=START + timedelta(seconds=1),
        ended_at=START + timedelta(seconds=60),
        ended_by="caller",
        result=Result.SUCCESS,
        reason="handed_off",
        transcript=(Turn(role="caller", text="Hello?", at=START), Turn(role="agent", text="Hi.")),
        handoff=make_handoff(data={"a": {"b": 1}}, parameters={"p1": "care"}, signal="accepted", transfer="released"),
    )
    await bridge.store.put(record)
    assert await bridge.get("calls/call-1") == (
        200,
        {
            "id": "call-1",
            "shared_id": "contact-1",
            "state": "ended",
            "contact_id": "contact-1",
            "main_contact_id": "main-1",
            "caller_number": "+15550001",
            "callee_number": "+19995550001",
            "started_at": "2026-03-01T12:00:00Z",
            "answered_at": "2026-03-01T12:00:01Z",
            "ended_at": "2026-03-01T12:01:00Z",
            "ended_by": "caller",
            "result": "success",
            "reason": "handed_off",
            "handoff": {
                "state": "handoff_initiated",
                "destination": "care",
                "method": "release",
                "reason": "asked_for_human",
                "confirmed": None,
                "taken_back": False,
                "handoff_at": "2026-03-01T12:00:30Z",
                "finished_at": None,
                "requested_by": "api",
                "utterance": "One moment, please.",
                "data": {"a": {"b": 1}},
                "parameters": {"p1": "care"},
                "signal": "accepted",
                "transfer": "released",
            },
            "earlier_handoff": None,
            "transcript": [
                {"role": "caller", "text": "Hello?", "at": "2026-03-01T12:00:00Z"},
                {"role": "agent", "text": "Hi.", "at": None},
            ],
        },
    )


@pytest.mark.parametrize("call_id", ["none", "a" * 65, "%00", "..%2Fcalls", "call-1%0A", "%FF", "é"])
async def test_an_unknown_call_is_404(bridge: Bridge, call_id: str) -> None:
    await bridge.store.put(make_record())
    assert (await bridge.get(f"calls/{call_id}"))[0] == 404
