"""The log of calls that nodes share: what is special to Redis. For the rest see `calls/test_event_log.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from sipbridge.calls.events import CallStarted
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.event_log import BEGINNING, LogEntry
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store.redis import call_writer
from sipbridge.store.redis.calls import RedisStore
from tests.harness.programs.redis import RedisServer
from tests.store.conftest import patient_redis
from tests.store.records import START, make_handoff, make_record

STARTED = make_record(state=CallState.RINGING)
ANSWERED = make_record(answered_at=START + timedelta(seconds=1))
HANDED_OFF = ANSWERED.changed(handoff=make_handoff(), state=CallState.HANDING_OFF)
ENDED = HANDED_OFF.changed(state=CallState.ENDED, ended_at=START + timedelta(seconds=60))


class Node:
    """A store of one node."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def entries(self) -> list[LogEntry]:
        return await self.store.events.entries("acme", "billing", first=BEGINNING, limit=1_000)

    async def reached(self) -> list[tuple[str, int, int]]:
        """Return the milestones in Redis, in their order."""
        return [(each.call_id, each.after, each.until) for each in await self.entries()]

    async def announce(self, event: CallStarted) -> None:
        """Announce a call, and wait until Redis has it."""
        self.store.observe(event)
        await self.store._announcer.flush()  # noqa: SLF001 (else after a moment)


@pytest.fixture
async def nodes(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Node, Node]]:
    patient_redis(monkeypatch)
    url = RedisUrl.parse(redis.url)
    stores = [await RedisStore.open(url, retention=timedelta(hours=24)) for _ in range(2)]
    yield Node(stores[0]), Node(stores[1])
    for store in stores:
        await store.close()


@pytest.fixture
def node(nodes: tuple[Node, Node]) -> Node:
    return nodes[0]


async def test_each_put_has_an_entry_for_the_pages_of_other_nodes(node: Node) -> None:
    for record in (HANDED_OFF, HANDED_OFF, ENDED, ENDED):
        await node.store.put(record)
    assert await node.reached() == [("call-1", 0, 3), ("call-1", 3, 3), ("call-1", 3, 7), ("call-1", 7, 7)]


async def test_announcements_wait_for_redis(node: Node, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_writer, "WRITE_SECONDS", 0.05)
    redis.pause()
    try:
        await node.announce(CallStarted(STARTED))
    finally:
        redis.resume()
    monkeypatch.setattr(call_writer, "WRITE_SECONDS", 30.0)
    await node.announce(CallStarted(make_record("call-2", state=CallState.RINGING)))
    assert await node.reached() == [("call-1", 0, 1), ("call-2", 0, 1)]


async def test_a_put_leaves_nothing_of_the_announcement(node: Node, redis: RedisServer) -> None:
    await node.announce(CallStarted(STARTED))
    assert redis.run("KEYS", "sipbridge:call-begun:*") != []
    await node.store.put(HANDED_OFF)
    assert redis.run("KEYS", "sipbridge:call-begun:*") == []


async def test_the_puts_of_another_node_go_on_from_the_last_milestone(nodes: tuple[Node, Node]) -> None:
    owner, rescuer = nodes  # which has the later term
    await owner.store.put(HANDED_OFF)
    await rescuer.store.put(ENDED)
    with pytest.raises(StoreError):
        await owner.store.put(ENDED)
    assert await rescuer.reached() == [("call-1", 0, 3), ("call-1", 3, 7)]


async def test_nothing_of_an_erased_call_is_left_but_its_id(node: Node, redis: RedisServer) -> None:
    await node.announce(CallStarted(STARTED))
    await node.store.put(ENDED)
    await node.announce(CallStarted(make_record("call-2", state=CallState.RINGING)))
    for call_id in ("call-1", "call-2"):
        await node.store.delete("acme", "billing", call_id)
    assert await node.store.events.records("acme", "billing", ["call-1", "call-2"]) == {}
    assert {fields for entry in await node.entries() for fields in entry[1:]} == {"call-1", "call-2", 0, 1, 7}
    assert redis.run("KEYS", "sipbridge:call-begun:*") == []


async def test_the_oldest_events_are_dropped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_writer, "EVENTS_KEPT", 10)
    puts: list[CallRecord] = [make_record(f"call-{n}", state=CallState.ENDED, ended_at=START) for n in range(300)]
    for record in puts:
        await node.store.put(record)
    kept = await node.reached()
    assert len(kept) < 200, "Redis drops whole nodes of the stream, of 100 entries"
    assert kept[-1] == ("call-299", 0, 7)
