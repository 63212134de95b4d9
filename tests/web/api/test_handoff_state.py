from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from sipbridge.errors import StoreError
from sipbridge.handoffs.record import HandoffState
from tests.store.records import START, make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import SALES_KEY

DEEP = {"deep": [[["x"]]], "n": 1}


async def test_a_stored_handoff_is_found_by_id_and_by_shared_id(bridge: Bridge) -> None:
    await bridge.store.put(make_record(handoff=make_handoff(data={"order": "A-7"}, confirmed=True)))
    expected = {
        "id": "call-1",
        "shared_id": "contact-1",
        "data": {
            "order": "A-7",
            "handoff_state": "handoff_initiated",
            "handoff_reason": "asked_for_human",
            "handoff_destination": "care",
            "utterance": "One moment, please.",
            "contact_id": "contact-1",
            "main_contact_id": "main-1",
            "caller_number": "+15550001",
            "callee_number": "+19995550001",
            "started_at": "2026-03-01T12:00:00Z",
            "handoff_at": "2026-03-01T12:00:30Z",
            "confirmed": True,
        },
    }
    assert await bridge.get("handoff_state?id=call-1") == (200, expected)
    assert await bridge.get("handoff_state?shared_id=contact-1") == (200, expected)


async def test_the_shared_id_takes_precedence_over_the_id(bridge: Bridge) -> None:
    await bridge.store.put(make_record("a", handoff=make_handoff(shared_id="crm-a")))
    await bridge.store.put(make_record("b", handoff=make_handoff(shared_id="crm-b")))
    _, body = await bridge.get("handoff_state?id=a&shared_id=crm-b")
    assert body["id"] == "b"


async def test_the_newest_of_two_calls_of_a_contact_is_shown(bridge: Bridge) -> None:
    await bridge.store.put(make_record("new", started_at=START + timedelta(hours=1), handoff=make_handoff()))
    await bridge.store.put(make_record("old", handoff=make_handoff()))
    _, body = await bridge.get("handoff_state?shared_id=contact-1")
    assert body["id"] == "new"


async def test_a_call_in_progress_takes_precedence_over_its_stored_record(bridge: Bridge) -> None:
    await bridge.store.put(make_record(handoff=make_handoff()))
    bridge.directory.add(make_record(handoff=make_handoff(state=HandoffState.COMPLETED)))
    for query in ("id=call-1", "shared_id=contact-1"):
        _, body = await bridge.get(f"handoff_state?{query}")
        assert body["data"]["handoff_state"] == "handoff_completed"


async def test_a_store_that_is_away_hides_no_handoff_that_is_found_elsewhere(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreError("Redis has not responded")

    monkeypatch.setattr(bridge.chats.store, "get_shared", away)
    assert (await bridge.get("handoff_state?shared_id=contact-1"))[0] == 503
    await bridge.store.put(make_record(handoff=make_handoff()))
    assert (await bridge.get("handoff_state?shared_id=contact-1"))[0] == 200
    monkeypatch.setattr(bridge.store, "get_shared", away)
    assert (await bridge.get("handoff_state?shared_id=contact-1"))[0] == 503
    bridge.directory.add(make_record(handoff=make_handoff()))
    assert (await bridge.get("handoff_state?shared_id=contact-1"))[0] == 200


async def test_the_agents_data_is_flat_and_our_keys_replace_its_keys(bridge: Bridge) -> None:
    data = {
        "nested": DEEP,
        "list": ["ü", 1],
        "number": 12,
        "big": 2**70,
        "half": 0.5,
        "yes": True,
        "none": None,
        "caller_number": "forged",
        "handoff_state": "forged",
        "confirmed": "forged",
        "model_config": "no trouble",
        "__class__": "none either",
        "": "nor here",
    }
    await bridge.store.put(make_record(handoff=make_handoff(data=data)))
    _, body = await bridge.get("handoff_state?id=call-1")
    shown = body["data"]
    assert json.loads(shown.pop("nested")) == DEEP
    assert shown.pop("list") == '["ü",1]'
    assert shown["caller_number"] == "+15550001"
    assert shown["handoff_state"] == "handoff_initiated"
    assert shown["confirmed"] is None
    for key in ("number", "big", "half", "yes", "none", "model_config", "__class__", ""):
        assert shown[key] == data[key]
        assert type(shown[key]) is type(data[key])


async def test_a_call_without_a_handoff_is_404_like_an_unknown_one(bridge: Bridge) -> None:
    await bridge.store.put(make_record())
    bridge.directory.add(make_record("live", contact_id="contact-2"))
    responses = [
        await bridge.get(f"handoff_state?{query}")
        for query in ("id=call-1", "shared_id=contact-1", "id=live", "shared_id=contact-2", "id=none", "shared_id=none")
    ]
    assert responses == [(404, {"error_message": "no such handoff", "code": "not_found"})] * 6


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "give id or shared_id"),
        ("id=", "id: "),
        ("id=../../etc", "id: "),
        ("id=" + "a" * 129, "id: "),
        ("id=%00", "id: "),
        ("shared_id=", "shared_id: "),
        ("shared_id=" + "x" * 257, "shared_id: "),
    ],
)
async def test_a_query_without_a_call_is_400_and_not_quoted(bridge: Bridge, query: str, message: str) -> None:
    status, body = await bridge.get(f"handoff_state?{query}")
    assert status == 400
    assert body["error_message"].startswith(message)
    assert "etc" not in body["error_message"]


@pytest.mark.parametrize("shared_id", ["%00", "%FF%FE", "%ED%A0%80", "'; DROP TABLE calls; --", "%E2%80%AE"])
async def test_an_odd_shared_id_is_unknown(bridge: Bridge, shared_id: str) -> None:
    status, _ = await bridge.get(f"handoff_state?shared_id={quote(shared_id, safe='%')}")
    assert status == 404


async def test_a_store_that_cannot_be_read_is_500_without_details(bridge: Bridge) -> None:
    await bridge.store.close()
    status, body = await bridge.get("handoff_state?id=call-1")
    assert status == 503
    assert body == {
        "error_message": "the record store is unavailable; try again",
        "code": "store_unavailable",
    }


async def test_an_erased_record_is_404_everywhere(bridge: Bridge) -> None:
    record = make_record(handoff=make_handoff())
    await bridge.store.put(record)
    assert await bridge.delete("handoff_state?id=call-1") == (204, None)
    for path in ("handoff_state?id=call-1", "handoff_state?shared_id=contact-1", "calls/call-1"):
        assert (await bridge.get(path))[0] == 404
    assert (await bridge.get(bridge.pop_links.make(record).removeprefix("http://127.0.0.1:8080"), key=None))[0] == 404
    assert await bridge.get("calls") == (200, {"calls": []})
    status, body = await bridge.delete("handoff_state?id=call-1")
    assert (status, body) == (404, {"error_message": "no such record", "code": "not_found"})


async def test_a_shared_id_erases_all_records_that_have_it_and_no_other(bridge: Bridge) -> None:
    for call_id, shared_id in (("a", "crm-7"), ("b", "crm-7"), ("c", "crm-8")):
        await bridge.store.put(make_record(call_id, handoff=make_handoff(shared_id=shared_id)))
    await bridge.store.put(make_record("d", project="sales", handoff=make_handoff(shared_id="crm-7")))
    assert (await bridge.delete("handoff_state?shared_id=crm-7&id=c"))[0] == 204
    assert [call["id"] for call in (await bridge.get("calls"))[1]["calls"]] == ["c"]
    assert await bridge.store.get("acme", "sales", "d")


async def test_a_record_without_a_handoff_is_erased_as_well(bridge: Bridge) -> None:
    await bridge.store.put(make_record())
    assert (await bridge.delete("handoff_state?shared_id=contact-1"))[0] == 204
    assert (await bridge.get("calls/call-1"))[0] == 404


@pytest.mark.parametrize("query", ["id=live", "shared_id=contact-2"])
async def test_the_record_of_a_call_in_progress_is_not_erased(bridge: Bridge, query: str) -> None:
    record = make_record("live", contact_id="contact-2", handoff=make_handoff(shared_id="contact-2"))
    await bridge.store.put(record)
    bridge.directory.add(record)
    status, body = await bridge.delete(f"handoff_state?{query}")
    assert status == 409
    assert "in progress" in body["error_message"]
    assert await bridge.store.get("acme", "billing", "live") == record


@pytest.mark.parametrize(("query", "status"), [("", 400), ("id=", 400), ("id=%00", 400), ("shared_id=none", 404)])
async def test_a_query_that_matches_no_record_erases_none(bridge: Bridge, query: str, status: int) -> None:
    await bridge.store.put(make_record())
    assert (await bridge.delete(f"handoff_state?{query}"))[0] == status
    assert await bridge.store.get("acme", "billing", "call-1")


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), (SALES_KEY, 403)])
async def test_records_of_another_project_are_not_erased(bridge: Bridge, key: str | None, status: int) -> None:
    await bridge.store.put(make_record())
    for query in ("id=call-1", "id=none"):
        assert (await bridge.delete(f"handoff_state?{query}", key))[0] == status
    assert await bridge.store.get("acme", "billing", "call-1")


async def test_a_store_that_cannot_erase_is_500(bridge: Bridge) -> None:
    await bridge.store.close()
    assert (await bridge.delete("handoff_state?id=call-1"))[0] == 503
