"""The contract of a store of records, for each engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sipbridge.calls.model import CallState
from sipbridge.calls.ports.store import RecordStore
from sipbridge.errors import StoreError
from sipbridge.handoffs.record import Turn
from tests.store.conftest import ENGINES, OpenStore
from tests.store.records import START, make_handoff, make_record

pytestmark = ENGINES


async def test_a_record_is_read_as_it_was_put(store: RecordStore) -> None:
    record = make_record(
        handoff=make_handoff(data={"order": 12, "nested": {"a": [1, None, "ü\x00"]}}, parameters={"p1": "care"}),
        transcript=(Turn(role="caller", text="Hello?", at=START),),
    )
    await store.put(record)
    assert await store.get("acme", "billing", "call-1") == record


async def test_data_nested_to_the_limit_is_stored(store: RecordStore) -> None:
    deep: object = "core"
    for _ in range(200):
        deep = [deep]
    record = make_record(handoff=make_handoff(data={"deep": deep}))
    await store.put(record)
    assert await store.get("acme", "billing", "call-1") == record


async def test_a_later_put_replaces_an_earlier_one(store: RecordStore) -> None:
    await asyncio.gather(store.put(make_record()), store.put(make_record(state=CallState.ENDED)))
    record = await store.get("acme", "billing", "call-1")
    assert record
    assert record.state is CallState.ENDED


async def test_the_latest_put_of_a_call_is_written_even_if_not_urgent(store: RecordStore) -> None:
    started, ended = make_record(), make_record(state=CallState.ENDED)
    await asyncio.gather(store.put(started), store.put(ended, urgent=False))
    assert await store.get("acme", "billing", "call-1") == ended


async def test_a_put_that_is_not_urgent_is_written_without_another(store: RecordStore) -> None:
    async with asyncio.timeout(5):
        await store.put(make_record("call-1"), urgent=False)
        await store.put(make_record("call-2"), urgent=False)
    assert await store.get("acme", "billing", "call-2") == make_record("call-2")


async def test_a_record_put_for_later_is_found_at_once_and_replaced_by_a_later_one(store: RecordStore) -> None:
    await store.put(make_record())
    later = make_record(handoff=make_handoff())
    store.put_later(later)
    assert await store.get("acme", "billing", "call-1") == later
    assert await store.get_shared("acme", "billing", "contact-1") == later
    await store.put(make_record(state=CallState.ENDED), urgent=False)
    assert await store.get("acme", "billing", "call-1") == make_record(state=CallState.ENDED)


async def test_a_project_sees_its_own_calls_only(store: RecordStore) -> None:
    await store.put(make_record(handoff=make_handoff()))
    for client, project in (("acme", "sales"), ("other", "billing")):
        assert await store.get(client, project, "call-1") is None
        assert await store.get_shared(client, project, "contact-1") is None
        assert await store.list_calls(client, project, limit=10) == []


async def test_of_two_calls_with_a_shared_id_the_newest_is_found(store: RecordStore) -> None:
    await store.put(make_record("new", started_at=START + timedelta(microseconds=1)))
    await store.put(make_record("old"))
    record = await store.get_shared("acme", "billing", "contact-1")
    assert record
    assert record.call_id == "new"


async def test_the_agents_shared_id_replaces_the_contact_id(store: RecordStore) -> None:
    await store.put(make_record())
    await store.put(make_record(handoff=make_handoff(shared_id="crm-7")))
    assert await store.get_shared("acme", "billing", "contact-1") is None
    assert await store.get_shared("acme", "billing", "crm-7")


async def test_calls_are_listed_newest_first_and_in_pages(store: RecordStore) -> None:
    for minute in (2, 0, 1, 3):
        await store.put(make_record(f"call-{minute}", started_at=START + timedelta(minutes=minute)))
    page = await store.list_calls("acme", "billing", limit=2)
    assert [record.call_id for record in page] == ["call-3", "call-2"]
    rest = await store.list_calls("acme", "billing", limit=2, before=page[-1].started_at)
    assert [record.call_id for record in rest] == ["call-1", "call-0"]


async def test_a_cancelled_put_affects_no_other(store: RecordStore) -> None:
    cancelled = asyncio.create_task(store.put(make_record("call-1")))
    other = asyncio.create_task(store.put(make_record("call-2")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    assert await store.get("acme", "billing", "call-2")


async def test_text_that_is_not_unicode_fails_only_that_put(store: RecordStore) -> None:
    with pytest.raises(StoreError, match="text that is not valid Unicode"):
        await store.put(make_record("broken", handoff=make_handoff(data={"x": "\ud800"})))
    await store.put(make_record("whole"))
    assert await store.get("acme", "billing", "whole")


async def test_closing_writes_what_is_queued(reopen: OpenStore) -> None:
    store = await reopen()
    puts = [asyncio.create_task(store.put(make_record(f"call-{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*puts)
    assert len(await (await reopen()).list_calls("acme", "billing", limit=200)) == 100


async def test_a_closed_store_raises_an_error(store: RecordStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.put(make_record())
    with pytest.raises(StoreError, match="closed"):
        await store.get("acme", "billing", "call-1")


async def test_an_erasure_affects_its_project_only(store: RecordStore) -> None:
    await store.put(make_record())
    assert not await store.delete("acme", "sales", "call-1")
    assert not await store.delete("other", "billing", "call-1")
    assert await store.delete_shared("acme", "sales", "contact-1") == 0
    assert await store.get("acme", "billing", "call-1")


async def test_a_record_put_after_the_erasure_stays(store: RecordStore) -> None:
    erasing = asyncio.create_task(store.delete_shared("acme", "billing", "contact-1"))
    await asyncio.sleep(0)
    await store.put(make_record("new"))
    assert await erasing == 0
    assert await store.get("acme", "billing", "new")


async def test_erased_records_are_not_found(store: RecordStore) -> None:
    for call_id, shared_id in (("a", "contact-1"), ("b", "contact-1"), ("c", "crm-7")):
        await store.put(make_record(call_id, handoff=make_handoff(shared_id=shared_id)))
    assert await store.delete_shared("acme", "billing", "contact-1") == 2
    assert await store.delete_shared("acme", "billing", "contact-1") == 0
    assert await store.delete("acme", "billing", "c")
    assert not await store.delete("acme", "billing", "c")
    assert await store.list_calls("acme", "billing", limit=10) == []
    assert await store.get_shared("acme", "billing", "crm-7") is None


async def test_a_pending_put_does_not_restore_an_erased_record(store: RecordStore) -> None:
    await store.put(make_record())
    on_its_way = [asyncio.create_task(store.put(make_record(), urgent=urgent)) for urgent in (False, True)]
    await asyncio.sleep(0)
    assert await store.delete("acme", "billing", "call-1")
    await asyncio.gather(*on_its_way)
    assert await store.get("acme", "billing", "call-1") is None


async def test_an_erased_record_may_be_put_again(store: RecordStore) -> None:
    await store.put(make_record())
    assert await store.delete("acme", "billing", "call-1")
    await store.put(make_record())
    assert await store.get_shared("acme", "billing", "contact-1") == make_record()
