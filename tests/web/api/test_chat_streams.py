"""The event streams of many chats, all read with one key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import ChatEvent, ChatEventType, ChatRecord
from sipbridge.chats.ports import ChatChange
from sipbridge.errors import StoreError
from sipbridge.web.server import connections, slots
from tests.chats.world import CLIENT, PROJECT
from tests.store.chats.chats import make_chat
from tests.web.chats import KEY, ChatBridge, chat_bridge


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[ChatBridge]:
    async with chat_bridge(tmp_path) as running:
        yield running


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resources for the requests with keys than there are chats."""
    monkeypatch.setattr(slots, "MAX_PER_KEY", 1)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)


async def stream(stack: AsyncExitStack, bridge: ChatBridge, chat_id: str) -> aiohttp.ClientResponse:
    url, headers = bridge.url(f"chats/{chat_id}/events"), {"x-api-key": KEY}
    return await stack.enter_async_context(bridge.session.get(url, headers=headers))


@pytest.mark.usefixtures("few")
async def test_a_bot_reads_the_events_of_all_its_chats_with_one_key(bridge: ChatBridge) -> None:
    chats = ["c1", "c2", "c3"]
    async with AsyncExitStack() as stack:
        for chat_id in chats:
            assert (await bridge.start(chat_id))[0] == 202
        streams = [await stream(stack, bridge, chat_id) for chat_id in chats * 2]
        assert [each.status for each in streams] == [200] * 6
        assert (await bridge.get("chats", KEY))[0] == 200, "the key still has the slots of its requests"
        assert (await bridge.get("/healthz"))[0] == 200


@pytest.mark.usefixtures("few")
async def test_so_it_does_while_its_chats_are_at_another_node_or_not_recovered_yet(bridge: ChatBridge) -> None:
    chats = ["c1", "c2", "c3"]
    records = [await begin_elsewhere(bridge, chat_id) for chat_id in chats]
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        streams = [await stream(stack, bridge, chat_id) for chat_id in chats * 2]
        assert [each.status for each in streams] == [200] * 6
        assert (await bridge.start("c4"))[0] == 202, "the key still has the slots of its requests"
        assert (await stream(stack, bridge, "c1")).status == 200, "the third reader takes the slot of the key"
        assert [(await stream(stack, bridge, chat_id)).status for chat_id in ("c1", "c2", "none")] == [429] * 3
        for record in records:
            bridge.deps().chats.feed.end(record.uid)
        for each in streams:
            await each.read()
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        assert (await stream(stack, bridge, "none")).status == 404
        assert (await stream(stack, bridge, "c1")).status == 200, "each stream and lookup has released its slot"


@pytest.mark.usefixtures("few")
async def test_a_lookup_that_waits_for_the_store_holds_a_slot_of_the_key(
    bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, looking, stored = await begin_elsewhere(bridge), asyncio.Event(), asyncio.Event()

    async def read_slowly(*_: str) -> ChatRecord:
        looking.set()
        await stored.wait()
        return record

    monkeypatch.setattr(bridge.world.store, "get", read_slowly)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        first = asyncio.create_task(stream(stack, bridge, "c1"))
        await looking.wait()
        assert (await stream(stack, bridge, "c1")).status == 429
        stored.set()
        assert (await first).status == 200
        assert (await stream(stack, bridge, "c1")).status == 200


@pytest.mark.usefixtures("few")
async def test_further_readers_of_a_chat_take_the_slots_of_their_key(bridge: ChatBridge) -> None:
    async with AsyncExitStack() as stack:
        assert (await bridge.start("c1"))[0] == 202
        statuses = [(await stream(stack, bridge, "c1")).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


@pytest.mark.usefixtures("few")
async def test_a_chat_that_has_ended_brings_no_slots(bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await bridge.start("c1"))[0] == 202
    async with AsyncExitStack() as stack:
        reading = [await stream(stack, bridge, "c1") for _ in range(2)]
        await bridge.world.event("handoff_accepted")
        bridge.world.channel.happens(h.ContactClosed())
        await bridge.world.ended()
        for each in reading:
            assert b"handoff_failed" in await each.read()
    async with AsyncExitStack() as stack:
        assert (await stream(stack, bridge, "c1")).status == 200
    read = asyncio.Event()

    async def read_slowly(*_: object, **__: object) -> list[ChatEvent]:
        await read.wait()
        return []

    monkeypatch.setattr(bridge.world.store, "events", read_slowly)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        assert [(await stream(stack, bridge, "c1")).status for _ in range(2)] == [200, 429]
        read.set()


async def test_stream_ends_if_the_chat_ended_while_its_record_was_read(
    bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await bridge.start("c1"))[0] == 202
    await bridge.world.event("handoff_accepted")
    before = await bridge.world.record()
    bridge.world.channel.happens(h.ContactClosed())
    await bridge.world.ended()

    async def read_before(*_: str) -> ChatRecord:
        return before

    monkeypatch.setattr(bridge.world.store, "get", read_before)
    async with AsyncExitStack() as stack, asyncio.timeout(2):
        assert b"handoff_failed" in await (await stream(stack, bridge, "c1")).read()


async def test_stream_reads_what_another_node_wrote_before_the_chat_came_here(bridge: ChatBridge) -> None:
    record = await begin_elsewhere(bridge)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        reading = await stream(stack, bridge, "c1")
        await bridge.world.until(lambda: record.uid in bridge.deps().chats.feed)
        first, second = (record.event(number, ChatEventType.AGENT_LEFT, {}) for number in (1, 2))
        await bridge.world.store.write(ChatChange(record.uid, None, [first, second]))
        bridge.world.publish(record, second)
        found = [await next_id(reading) for _ in range(2)]
        assert found == ["1", "2"]


async def test_stream_ends_once_the_chat_goes_on_at_another_node(bridge: ChatBridge) -> None:
    record = await begin_elsewhere(bridge)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        reading = await stream(stack, bridge, "c1")
        await bridge.world.until(lambda: record.uid in bridge.deps().chats.feed)
        bridge.deps().chats.feed.end(record.uid)
        assert b"event:" not in await reading.read()


async def test_stream_ends_without_a_second_response_if_the_store_fails(
    bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await bridge.start("c1"))[0] == 202
    await bridge.world.event("handoff_accepted")
    real = bridge.world.store.events

    async def fail_after_a_page(uid: str, *, after: int, limit: int = 500) -> list[ChatEvent]:
        if after:
            raise StoreError("Redis has not responded")
        return await real(uid, after=after, limit=limit)

    monkeypatch.setattr(bridge.world.store, "events", fail_after_a_page)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        body = await (await stream(stack, bridge, "c1")).read()
        assert body.count(b"event: handoff_accepted") == 1
        assert b"HTTP/" not in body


async def begin_elsewhere(bridge: ChatBridge, chat_id: str = "c1") -> ChatRecord:
    """Store a chat that this node does not carry."""
    return await bridge.world.store.create(make_chat(chat_id, client=CLIENT, project=PROJECT))


async def next_id(reading: aiohttp.ClientResponse) -> str:
    while not (line := (await reading.content.readline()).decode()).startswith("id: "):
        pass
    return line.removeprefix("id: ").strip()
