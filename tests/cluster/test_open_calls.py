"""The open calls in Redis: those that another node would have to save."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster import open_calls
from sipbridge.cluster.lease import Commands, Lease
from sipbridge.cluster.open_calls import OpenCalls
from sipbridge.cluster.shared_journal import SharedJournal
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import NodeTakenOver, StoreError
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import read_call
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import Command
from sipbridge.store.redis.server import Server
from tests.fakes import FakeCallJournal, Journal
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.records import make_record

NOW = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)


class Node:
    """A node whose open calls are in a Redis."""

    def __init__(self, server: Commands, redis: RedisServer) -> None:
        self.lease = Lease(server, "node", 15)
        self.calls = OpenCalls(server, self.lease)
        self.local = FakeCallJournal(Journal())
        self.journal = SharedJournal(self.local, self.calls)
        self._redis = redis

    async def begins(self, call_id: str) -> bool:
        """Begin a call; return True if Redis has it then."""
        return await self.calls.confirm(self.calls.begin(entries.began(make_record(call_id), {})))

    def in_redis(self) -> dict[str, str]:
        found: dict[str, str] = self._redis.run("HGETALL", keys.OPEN_CALLS + self.lease.epoch)
        return found

    def signal_in_redis(self, call_id: str) -> SignalResult | None:
        """Return the Signal that a rescuer finds among the open calls."""
        call = read_call(self.in_redis()[call_id].encode())
        assert call is not None
        return call.signal

    async def until_in_redis(self, *call_ids: str, text: str = "") -> None:
        async with asyncio.timeout(30):
            while set(self.in_redis()) != set(call_ids) or not all(text in each for each in self.in_redis().values()):  # noqa: ASYNC110 (there is no notification)
                await asyncio.sleep(0.01)


@pytest.fixture
async def node(server: Server, redis: RedisServer) -> AsyncIterator[Node]:
    opened = Node(server, redis)
    yield opened
    await opened.calls.close()


async def test_redis_has_a_call_before_it_is_answered(node: Node) -> None:
    assert await node.journal.begin(make_record("call-1"), {"X-Line": "gold"})
    call = read_call(node.in_redis()["call-1"].encode())
    assert call is not None
    assert (call.record, call.headers) == (make_record("call-1"), {"X-Line": "gold"})
    assert list(node.local.open) == ["call-1"]


async def test_the_answer_and_the_turns_are_in_the_local_journal_only(node: Node) -> None:
    assert await node.begins("call-1")
    before = node.in_redis()
    turns = [Turn(role="caller", text="My lamp is broken")]
    node.journal.answered("call-1", NOW)
    node.journal.add_turns("call-1", turns)
    assert (node.local.answered_at, node.local.turns) == ({"call-1": NOW}, {"call-1": turns})
    assert await node.begins("call-2")  # written after anything of the first call
    assert node.in_redis() == before | {"call-2": node.in_redis()["call-2"]}


async def test_the_end_of_the_leg_follows_from_any_thread(node: Node) -> None:
    await node.journal.begin(make_record("call-1"), {})
    await asyncio.to_thread(node.journal.hung_up, "call-1", "caller", NOW)
    await node.until_in_redis("call-1", text="hung_up")
    call = read_call(node.in_redis()["call-1"].encode())
    assert call is not None
    assert (call.record.ended_by, call.record.ended_at) == ("caller", NOW)


async def test_a_call_that_is_over_is_removed(node: Node) -> None:
    await node.journal.begin(make_record("call-1"), {})
    node.journal.stored("call-1")
    await node.until_in_redis()


async def test_a_call_that_could_not_be_stored_stays(node: Node) -> None:
    await node.journal.begin(make_record("call-1"), {})
    node.journal.unstored(make_record("call-1"))
    await node.until_in_redis("call-1", text="ended")
    node.journal.stored("call-1")
    await node.until_in_redis()


async def test_a_contact_that_was_signalled_through_another_call_is_noted(node: Node) -> None:
    """A rescuer that finds no claim of the call must find this instead, from the first byte of that Signal on."""
    for call_id in ("call-1", "call-2"):
        await node.journal.begin(make_record(call_id), {})
    await node.journal.signalling(make_record("call-2"), ["call-1", "of no node"])
    assert node.signal_in_redis("call-1") is SignalResult.DUPLICATE
    await node.journal.begin(make_record("call-3"), {}, withheld=True)
    assert node.signal_in_redis("call-3") is SignalResult.DUPLICATE
    assert ("call-1", SignalResult.DUPLICATE) in node.local.signals
    assert ("call-3", SignalResult.DUPLICATE) in node.local.signals
    node.journal.signalled("call-1", SignalResult.UNDELIVERED)
    await node.until_in_redis("call-1", "call-2", "call-3")
    async with asyncio.timeout(30):
        while node.signal_in_redis("call-1"):  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


async def test_redis_gets_a_signal_with_the_next_entry_and_at_once_what_revokes_it(node: Node) -> None:
    record = make_record("call-1")
    await node.journal.begin(record, {})
    before = node.in_redis()
    await node.journal.signalling(record)
    assert node.in_redis() == before, "its claim follows"
    node.journal.hung_up("call-1", "caller", NOW)
    await node.until_in_redis("call-1", text="hung_up")
    assert node.signal_in_redis("call-1") is SignalResult.UNKNOWN
    node.journal.signalled("call-1", SignalResult.UNDELIVERED)
    await node.until_in_redis("call-1", text="undelivered")
    assert node.signal_in_redis("call-1") is None


async def test_a_signal_without_a_claim_is_written_at_once(node: Node) -> None:
    record = make_record("call-1")
    await node.journal.begin(record, {})
    await node.journal.signalling(record)
    node.calls.write("call-1")
    await node.until_in_redis("call-1", text="signalling")
    node.calls.write("call-2")
    assert set(node.in_redis()) == {"call-1"}, "no call of this node"


async def test_nothing_more_is_written_of_calls_that_another_node_has(node: Node) -> None:
    await node.journal.begin(make_record("call-1"), {})
    before = node.in_redis()
    node.calls.forget()
    node.journal.hung_up("call-1", "caller", NOW)
    node.journal.unstored(make_record("call-1"))
    await node.journal.begin(make_record("call-2"), {})
    assert node.in_redis() == before | {"call-2": node.in_redis()["call-2"]}


async def test_a_call_of_an_epoch_that_was_taken_over_is_not_answered(node: Node, redis: RedisServer) -> None:
    redis.run("SET", keys.RESCUE + node.lease.epoch, "ended")
    with pytest.raises(NodeTakenOver):
        await node.journal.begin(make_record("call-1"), {})
    assert node.in_redis() == {}
    assert node.calls.unwritten == 0


async def test_a_call_that_waits_for_redis_when_the_rescue_is_found_is_not_answered(node: Node) -> None:
    written = node.calls.begin(entries.began(make_record("call-1"), {}))
    node.calls.forget()
    with pytest.raises(NodeTakenOver):
        await node.calls.confirm(written)


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_call_that_another_node_has_is_remembered_until_its_end(node: Node, *, is_stored: bool) -> None:
    record = make_record("call-1")
    await node.journal.begin(record, {})
    node.calls.forget()
    assert node.calls.forgotten == 1
    if is_stored:
        node.journal.stored("call-1")
    else:
        node.journal.unstored(record)
    assert node.calls.forgotten == 0
    assert "call-1" not in node.calls


class DelayingNetwork:
    """Holds requests back while it is cut, and the node hears nothing of them; `deliver` brings them to Redis."""

    def __init__(self, server: Server) -> None:
        self.is_cut = False
        self.passed = 0
        self._server = server
        self._held: list[Sequence[Command]] = []

    async def run(self, commands: Sequence[Command], *, seconds: float) -> list[Any]:
        if self.is_cut:
            self._held.append(commands)
            raise StoreError("Redis has not responded")
        results = await self._server.run(commands, seconds=seconds)
        self.passed += 1
        return results

    async def deliver(self) -> None:
        for commands in self._held:
            await self._server.run(commands, seconds=30)


async def test_a_write_that_was_delayed_on_its_way_changes_nothing(
    server: Server, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_calls, "RETRY_SECONDS", 0.05)
    network = DelayingNetwork(server)
    node = Node(network, redis)
    assert await node.begins("call-1")
    network.is_cut = True
    assert not await node.begins("call-2")
    node.calls.remove("call-2")
    passed, network.is_cut = network.passed, False
    async with asyncio.timeout(30):
        while network.passed == passed:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
    await network.deliver()
    assert set(node.in_redis()) == {"call-1"}
    await node.calls.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


async def test_what_redis_missed_or_lost_is_written_when_it_is_back(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_calls, "RETRY_SECONDS", 0.05)
    server = Server(RedisUrl.parse(own_redis.url))
    node = Node(server, own_redis)
    assert await node.begins("call-1")
    own_redis.kill()
    assert not await node.begins("call-2")
    assert not await node.begins("call-3")
    node.calls.remove("call-3")
    own_redis.start()
    await node.until_in_redis("call-2")
    own_redis.run("HSET", keys.OPEN_CALLS + node.lease.epoch, "call-0", "over, but a failover has brought it back")
    node.calls.write_all()  # the lease has found that Redis lost its data
    await node.until_in_redis("call-1", "call-2")
    node.calls.remove("call-1")
    node.calls.remove("call-2")
    await node.until_in_redis()
    own_redis.run("HSET", keys.OPEN_CALLS + node.lease.epoch, "call-1", "brought back")
    node.calls.write_all()
    await node.until_in_redis()
    assert node.calls.unwritten == 2
    await node.calls.close()
    await server.close()
