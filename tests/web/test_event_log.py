"""The events of the stores: a reader on any node gets each once, from the one that it names on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from sipbridge.calls.events import CallStarted, TurnsAdded
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.event_log import BEGINNING, Position
from sipbridge.calls.ports.store import RecordStore
from sipbridge.chats.model import ChatEvent, ChatEventType
from sipbridge.chats.ports import ChatStore
from sipbridge.config import StoreConfig
from sipbridge.handoffs.record import Turn
from sipbridge.store import open_chat_store, open_store
from sipbridge.web import GAP, ChatFeed, EventFeed, EventId, EventLog, Notice, PageFeed, event_log
from sipbridge.web.server.readers import Reader
from tests.harness.programs.redis import RedisServer
from tests.store.chats.chats import change, ended, make_chat, make_event
from tests.store.conftest import ENGINES, patient_redis
from tests.store.records import START, make_handoff, make_record

PROJECT = ("acme", "billing")


def ringing(call_id: str = "call-1") -> CallRecord:
    return make_record(call_id, state=CallState.RINGING)


def handed_off(call_id: str = "call-1") -> CallRecord:
    return make_record(call_id, answered_at=START + timedelta(seconds=1), handoff=make_handoff())


def over(call_id: str = "call-1") -> CallRecord:
    return handed_off(call_id).changed(state=CallState.ENDED, ended_at=START + timedelta(minutes=1))


class Node:
    """A node with stores, feeds, and the events of all nodes."""

    def __init__(self, store: RecordStore, chats: ChatStore) -> None:
        self.store, self.chats = store, chats
        self.feed, self.chat_feed, self.pages = EventFeed(), ChatFeed(), PageFeed()
        self.events = EventLog(store.events, chats, self.feed, self.chat_feed, self.pages)

    async def after(self, id_: EventId) -> list[Notice]:
        return [notice async for notice in self.events.calls_after(*PROJECT, id_)]


@pytest.fixture
def engine() -> str:
    return "redis"


@pytest.fixture
async def nodes(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes on one Redis; with SQLite, one node twice."""
    patient_redis(monkeypatch)
    url = f"sqlite:///{tmp_path}/calls.db" if engine == "sqlite" else request.getfixturevalue("redis").url
    config = StoreConfig(url=url)
    async with AsyncExitStack() as stack:
        opened = []
        for name in ("node-1", "node-2"):
            store = await open_store(config, name)
            stack.push_async_callback(store.close)
            chats = await open_chat_store(config, partial(str, name))
            stack.push_async_callback(chats.close)
            opened.append(Node(store, chats))
            if engine == "sqlite":
                break
        yield opened[0], opened[-1]


async def take(reader: Reader[Notice], count: int) -> list[Notice]:
    """Return the next events of a reader."""
    async with asyncio.timeout(30):
        notices = aiter(reader)
        return [await anext(notices) for _ in range(count)]


def names(notices: list[Notice]) -> list[str]:
    return [notice.name for notice in notices]


@ENGINES
async def test_the_readers_of_all_nodes_get_the_events_of_each_in_one_order(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    with first.feed.reader(*PROJECT) as one, second.feed.reader(*PROJECT) as other:
        async with first.events.follow_calls(*PROJECT), second.events.follow_calls(*PROJECT):
            first.store.observe(CallStarted(ringing("call-1")))
            here, there = await take(one, 1), await take(other, 1)
            await second.store.put(handed_off("call-2"))
            await first.store.put(over("call-1"))
            here, there = here + await take(one, 6), there + await take(other, 6)
    assert here == there
    assert names(here) == [
        "call.started",
        *("call.started", "call.answered", "handoff.started"),
        *("call.answered", "handoff.started", "call.ended"),
    ]
    ids = [notice.id for notice in here]
    assert ids == sorted(set(ids), key=lambda each: each or EventId(BEGINNING, 0))


@ENGINES
async def test_a_reader_resumes_on_another_node_within_an_entry_too(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    with first.feed.reader(*PROJECT) as reader:
        async with first.events.follow_calls(*PROJECT):
            await first.store.put(handed_off())
            seen = await take(reader, 3)
    await first.store.put(over())  # while nothing reads
    await first.store.put(over("call-2"))
    last = seen[1].id
    assert last
    assert names(await second.after(last)) == [
        "handoff.started",
        "call.ended",
        *("call.started", "call.answered", "handoff.started", "call.ended"),
    ]
    newest = (await second.after(last))[-1].id
    assert newest
    assert await second.after(newest) == []


@ENGINES
async def test_many_events_are_read_in_pages(nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "PAGE", 3)
    first, second = nodes
    for number in range(10):
        await first.store.put(make_record(f"call-{number}", state=CallState.ENDED, ended_at=START))
    _, first_event, *_ = await second.after(EventId(BEGINNING, 0))  # after a gap
    assert first_event.id
    found = await second.after(first_event.id)
    assert names(found) == ["call.ended", *["call.started", "call.ended"] * 9]


@ENGINES
async def test_a_reader_is_notified_if_its_event_is_no_longer_there(nodes: tuple[Node, Node]) -> None:
    node, _ = nodes
    gone = EventId(Position(1, 0), 3)
    assert await node.after(gone) == [GAP]
    await node.store.put(over())
    assert names(await node.after(gone)) == [
        "stream.gap",
        "call.started",
        "call.answered",
        "handoff.started",
        "call.ended",
    ]
    later = EventId(Position(9_999_999_999_999, 0), 1)
    assert await node.after(later) == [GAP], "an id of another store"


async def test_a_redis_that_has_lost_its_data_leaves_a_gap(nodes: tuple[Node, Node], redis: RedisServer) -> None:
    node, _ = nodes
    await node.store.put(over())
    last = (await node.after(EventId(BEGINNING, 0)))[-1].id
    assert last
    assert await node.after(last) == []
    redis.run("FLUSHALL")
    assert await node.after(last) == [GAP]


@ENGINES
async def test_an_erased_call_has_no_events(nodes: tuple[Node, Node]) -> None:
    node, _ = nodes
    await node.store.put(over("call-1"))
    await node.store.put(over("call-2"))
    await node.store.delete(*PROJECT, "call-1")
    bodies = [notice.body for notice in await node.after(EventId(BEGINNING, 0))][1:]
    assert len(bodies) == 4
    assert all("call-2" in body for body in bodies)


@ENGINES
async def test_a_page_on_another_node_follows_its_call(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    with second.pages.watch((*PROJECT, "call-1")) as page:
        async with second.events.follow_calls(*PROJECT):
            await first.store.put(over("call-2"))
            await first.store.put(over("call-1"))
            async with asyncio.timeout(30):
                assert await page.change() == over("call-1")


async def test_a_page_on_another_node_gets_the_turns_that_follow_the_handoff(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    await first.store.put(handed_off())
    longer = handed_off().changed(transcript=(Turn(role="caller", text="One more thing."),))
    with (
        second.pages.watch((*PROJECT, "call-1")) as page,
        second.feed.reader(*PROJECT) as reader,
    ):
        async with second.events.follow_calls(*PROJECT), asyncio.timeout(30):
            first.store.observe(TurnsAdded(longer))
            assert await page.change() == longer
            await first.store.put(over())
            assert names(await take(reader, 1)) == ["call.ended"], "no event for the turn"


async def test_a_chat_is_followed_on_another_node_up_to_its_end(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    chat = await first.chats.create(make_chat())
    await first.chats.write(change(make_event(1)))
    last = make_event(3, type=ChatEventType.CHAT_ENDED)
    seen: list[ChatEvent] = []
    with (
        second.chat_feed.reader(chat.uid) as reader,
        second.pages.watch((chat.client, chat.project, chat.chat_id)) as page,
    ):
        async with second.events.follow_chat(chat), asyncio.timeout(30):
            await first.chats.write(change(make_event(2)))
            await first.chats.write(change(last, record=ended()))
            seen += [event async for event in reader]
            assert await page.change() == ended()
    assert seen == [make_event(2), last]
