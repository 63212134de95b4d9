"""The owners of chats in Redis: release, take, and what a former owner can still do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import ChatStore
from sipbridge.cluster import chat_owners
from sipbridge.cluster.chat_owners import ChatOwners
from sipbridge.cluster.fleet import Fleet
from sipbridge.cluster.lease import Lease, LeaseState
from sipbridge.config import StoreConfig
from sipbridge.errors import StoreError
from sipbridge.store import open_chat_store
from sipbridge.store.redis import keys
from sipbridge.store.redis.server import Server
from tests.harness.programs.redis import RedisServer
from tests.store.chats.chats import change, ended, make_chat, make_event, make_message, read
from tests.store.records import START


@dataclass
class Node:
    """A node with its store, and what the cluster asked of its chats."""

    lease: Lease
    fleet: Fleet
    owners: ChatOwners
    store: ChatStore
    capacity: int = 100
    releases: int = 0
    resumed: list[list[str] | None] = field(default_factory=list)
    failing: int = 0

    @property
    def slots(self) -> int:
        return self.capacity - sum(len(taken or ()) for taken in self.resumed)

    async def release(self) -> None:
        self.releases += 1

    async def resume(self, taken: Collection[str] | None) -> None:
        if self.failing:
            self.failing -= 1
            raise StoreError("Redis has not responded")
        self.resumed.append(None if taken is None else list(taken))

    async def turn(self, *, draining: bool = False) -> None:
        """Renew the lease, and move chats."""
        seen, _ = await self.lease.renew({"draining": int(draining)}, [ward.listed for ward in self.fleet.wards])
        self.fleet.renewed(seen, 0, 0)
        await self.owners.turn(self, draining=draining)

    async def unfinished(self) -> list[str]:
        """The chats that this node carries."""
        return [chat.record.chat_id for chat in await self.store.unfinished()]


@pytest.fixture
async def nodes(server: Server, redis: RedisServer) -> AsyncIterator[list[Node]]:
    made = []
    for name in ("first", "second"):
        lease, fleet = Lease(server, name, 15), Fleet(name, 15)
        await lease.join(f"http://{name}")
        store = await open_chat_store(StoreConfig(url=redis.url), lambda lease=lease: lease.epoch)  # type: ignore[misc]
        made.append(Node(lease, fleet, ChatOwners(server, lease, fleet), store))
    for node in made:
        await node.turn()
    yield made
    for node in made:
        await node.store.close()


async def create(node: Node, chat_id: str = "chat-1", age_seconds: int = 0) -> ChatRecord:
    return await node.store.create(make_chat(chat_id, started_at=START - timedelta(seconds=age_seconds)))


async def test_a_released_chat_goes_on_at_another_node_and_its_former_owner_changes_nothing(nodes: list[Node]) -> None:
    first, second = nodes
    chat = await create(first)
    await first.store.write(change(make_message(1), make_event(1)))
    assert await first.owners.release(first.lease.epoch) == 1
    with pytest.raises(StoreError, match="another node has taken"):
        await first.store.write(change(make_message(2)))
    await second.turn()
    assert second.resumed == [[chat.uid]]
    assert (await first.unfinished(), await second.unfinished()) == ([], ["chat-1"])
    assert [uid.uid for uid, _ in await second.store.undelivered()] == [chat.uid]
    with pytest.raises(StoreError, match="another node has taken"):
        await first.store.write(change(make_message(2)))
    await second.store.write(change(make_message(2), make_event(2)))
    stored = await read(second.store)
    assert (stored.messages, len(stored.events)) == ([make_message(1), make_message(2)], 2)
    await second.store.write(change(make_event(3), record=ended()))
    assert await second.unfinished() == []


async def test_a_chat_may_come_back(nodes: list[Node]) -> None:
    first, second = nodes
    await create(first)
    await first.owners.release(first.lease.epoch)
    await second.turn()
    await second.unfinished()
    await second.store.write(change(make_message(1)))
    await second.owners.release(second.lease.epoch)
    await first.turn()
    assert await first.unfinished() == ["chat-1"]
    await first.store.write(change(make_message(2)))
    with pytest.raises(StoreError, match="another node has taken"):
        await second.store.write(change(make_message(3)))
    assert (await read(first.store)).messages == [make_message(1), make_message(2)]


async def test_a_node_takes_as_many_chats_as_it_has_slots_oldest_first(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = nodes
    for number in range(5):
        await create(first, f"chat-{number}", age_seconds=10 - number)
    monkeypatch.setattr(chat_owners, "PAGE", 2)
    assert await first.owners.release(first.lease.epoch) == 5
    second.capacity = 0
    await second.turn()
    assert await second.unfinished() == []
    second.capacity = 3
    await second.turn()
    assert await second.unfinished() == ["chat-0", "chat-1", "chat-2"]
    first.capacity = 1
    await first.turn()
    assert await first.unfinished() == ["chat-3"]
    assert (first.owners.counts.taken, second.owners.counts.taken) == (1, 3)


async def test_a_chat_that_is_over_moves_with_the_events_for_its_webhook(nodes: list[Node]) -> None:
    first, second = nodes
    chat = await create(first)
    await first.store.write(change(make_event(1), record=ended()))
    assert await first.owners.release(first.lease.epoch, also_over=False) == 0
    await second.turn()
    assert await second.store.undelivered() == []
    assert await first.owners.release(first.lease.epoch) == 0
    second.capacity = 0
    await second.turn()
    assert [(each.uid, sequence) for each, sequence in await second.store.undelivered()] == [(chat.uid, 0)]
    assert await first.store.undelivered() == []
    assert await second.unfinished() == []


async def test_a_draining_node_releases_its_chats_once_another_one_can_take_them(nodes: list[Node]) -> None:
    first, second = nodes
    await create(first)
    await second.turn(draining=True)
    await first.turn(draining=True)
    assert (first.releases, await first.unfinished()) == (0, ["chat-1"])
    await second.turn()
    await first.turn(draining=True)
    assert (first.releases, await first.unfinished()) == (1, [])
    await first.turn(draining=True)
    assert first.resumed == [], "it takes none itself"


async def test_chats_whose_reading_failed_are_resumed_later(nodes: list[Node]) -> None:
    first, second = nodes
    await create(first)
    await first.owners.release(first.lease.epoch)
    second.failing = 1
    with pytest.raises(StoreError):
        await second.turn()
    assert second.owners.is_behind
    await second.turn()
    assert second.resumed == [None]
    assert not second.owners.is_behind


async def test_a_node_that_was_taken_over_begins_and_takes_no_chat(nodes: list[Node], redis: RedisServer) -> None:
    first, second = nodes
    await create(second)
    await second.owners.release(second.lease.epoch)
    redis.run("SET", keys.RESCUE + first.lease.epoch, "another")
    with pytest.raises(StoreError, match="another node has taken over the chats"):
        await create(first, "chat-2")
    await first.owners.turn(first, draining=False)
    assert (first.lease.state, first.resumed) == (LeaseState.HELD, []), "it does not know yet"
    await first.turn()
    assert (first.lease.state, first.resumed) == (LeaseState.RESCUED, [])


async def test_a_node_leaves_the_nodes_only_without_chats(nodes: list[Node], redis: RedisServer) -> None:
    first, second = nodes
    await create(first)
    await first.lease.leave()
    assert redis.run("HEXISTS", keys.NODES, first.lease.epoch) == 1
    await first.owners.release(first.lease.epoch)
    await first.lease.leave()
    assert redis.run("HKEYS", keys.NODES) == [second.lease.epoch]
