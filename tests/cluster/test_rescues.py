"""A node takes over the dead: several at once, and again what had to wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.cluster import Cluster
from sipbridge.cluster.takeover import WAIT_SECONDS, OpenStore, Recovery, Takeover
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.journal import entries
from sipbridge.store.redis import checks, keys
from sipbridge.store.redis.calls import RedisStore
from sipbridge.store.redis.server import Server
from tests.cluster.nodes import LEASE, Controls, PathTo, Time, join, make_node, until
from tests.fakes import FakeStore, Journal
from tests.harness.programs.redis import RedisServer
from tests.store.records import make_record


async def open_no_store() -> RecordStore:
    return FakeStore(Journal())


def use_recovery(node: Cluster, server: Server, recovery: Recovery, open_store: OpenStore = open_no_store) -> None:
    """Let a node recover the calls of others like this."""
    node.takeover = Takeover(
        server,
        node.lease,
        open_store,
        recovery,
        node.chat_owners.release,
        node.witnesses.take,
        node.claims.write_results,
        node.takeover_counts,
    )


async def test_a_takeover_that_takes_long_delays_no_other_one(
    node: Cluster, own_redis: RedisServer, clock: Time
) -> None:
    begun: list[str] = []
    may_end, server = asyncio.Event(), Server(RedisUrl.parse(own_redis.url))

    class Slow:
        def has_project(self, record: CallRecord) -> bool:  # noqa: ARG002 (any)
            return True

        async def recover(self, calls: Sequence[Unfinished], journal: CallJournal, *_: object, **__: object) -> int:
            begun.extend(call.record.call_id for call in calls)
            await may_end.wait()
            for call in calls:
                journal.stored(call.record.call_id)
            return 0

    dead = {f"call-{name}": make_node(own_redis, f"node-{name}") for name in ("b", "c")}
    for call_id, other in dead.items():
        await join(other)
        await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record(call_id), {})))
        own_redis.run("DEL", keys.LEASE + other.settings.id)
    use_recovery(node, server, Slow())
    for _ in range(4):
        await node.turn(Controls())
        clock.now += LEASE
    await until(lambda: set(begun) == set(dead))
    await node.turn(Controls())
    may_end.set()
    await until(lambda: node.takeover_counts.nodes == len(dead))
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]
    assert len(begun) == len(dead), "each once"
    for other in dead.values():
        await other.close()
    await server.close()


class Newcomer:
    """A node without projects: it recovers calls only if it must."""

    def __init__(self) -> None:
        self.recovered: list[str] = []

    def has_project(self, record: CallRecord) -> bool:  # noqa: ARG002 (none)
        return False

    async def recover(self, calls: Sequence[Unfinished], journal: CallJournal, *_: object, **__: object) -> int:
        for call in calls:
            self.recovered.append(call.record.call_id)
            journal.stored(call.record.call_id)
        return 0


async def test_calls_wait_for_their_project_for_a_while_which_is_logged_once(
    node: Cluster, own_redis: RedisServer, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    other, newcomer, server = make_node(own_redis, "node-b"), Newcomer(), Server(RedisUrl.parse(own_redis.url))
    rescuer = keys.RESCUER + other.lease.epoch
    await join(other)
    await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record("call-1"), {})))
    await node.turn(Controls())
    own_redis.run("DEL", keys.LEASE + "node-b")
    use_recovery(node, server, newcomer)
    waited, silence = 0.0, clock.now
    collides_at = silence + 4 * LEASE  # with another rescuer, which is soon done
    while not newcomer.recovered:
        clock.now += LEASE / 5
        collides = collides_at < clock.now < collides_at + LEASE
        own_redis.run(*(("SET", rescuer, "another") if collides else ("DEL", rescuer)))
        await node.turn(Controls())
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "node-takeover"))
        waited = clock.now - silence
    assert waited == pytest.approx(WAIT_SECONDS, abs=LEASE)
    waits = [line for line in caplog.messages if "wait for a node that has their project" in line]
    assert waits == ["calls of node-b wait for a node that has their project: 1"]
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]
    await other.close()
    await server.close()


class Able(Newcomer):
    """A node with all projects."""

    def has_project(self, record: CallRecord) -> bool:  # noqa: ARG002 (any)
        return True


async def test_a_redis_that_is_silent_during_a_takeover_is_asked_again(
    node: Cluster,
    own_redis: RedisServer,
    clock: Time,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "START_SECONDS", 0.1)
    other, able, url = make_node(own_redis, "node-b"), Able(), RedisUrl.parse(own_redis.url)
    server, silent_times = Server(url), [1]

    async def open_store() -> RecordStore:
        if not silent_times:
            return await RedisStore.open(url, retention=timedelta(hours=1))
        silent_times.pop()
        own_redis.pause()
        try:
            return await RedisStore.open(url, retention=timedelta(hours=1))
        finally:
            own_redis.resume()

    await join(other)
    await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record("call-1"), {})))
    await node.turn(Controls())
    own_redis.run("DEL", keys.LEASE + "node-b")
    use_recovery(node, server, able, open_store)
    async with asyncio.timeout(10):
        while not able.recovered:
            clock.now += LEASE / 5
            await node.turn(Controls())
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "node-takeover"))
    assert able.recovered == ["call-1"]
    lines = [
        record for record in caplog.records if record.__dict__.get("event") in ("takeover_failed", "internal_error")
    ]
    assert [(line.levelno, line.__dict__["event"]) for line in lines] == [(logging.WARNING, "takeover_failed")]
    assert "does not respond" in lines[0].getMessage()
    await other.close()
    await server.close()


class CutOffFromCxone:
    """A node that reaches no CXone: it leaves every call that may wait."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self.tried_at: list[float] = []

    def has_project(self, record: CallRecord) -> bool:  # noqa: ARG002 (any)
        return True

    async def recover(self, calls: Sequence[Unfinished], *_: object, may_wait: bool, **__: object) -> int:
        assert may_wait
        self.tried_at.append(self._clock.now)
        return len(calls)


async def test_a_rescuer_that_does_not_reach_cxone_lets_another_one_try_first(
    node: Cluster, own_redis: RedisServer, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    other, cut_off, server = (
        make_node(own_redis, "node-b"),
        CutOffFromCxone(clock),
        Server(RedisUrl.parse(own_redis.url)),
    )
    await join(other)
    await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record("call-1"), {})))
    await node.turn(Controls())
    own_redis.run("DEL", keys.LEASE + "node-b")
    use_recovery(node, server, cut_off)
    while len(cut_off.tried_at) < 3:
        clock.now += LEASE / 5
        await node.turn(Controls())
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "node-takeover"))
        assert own_redis.run("EXISTS", keys.RESCUER + other.lease.epoch) == 0, "another one may take it"
    first, second, third = cut_off.tried_at
    assert (second - first, third - second) == (2 * LEASE / 5, 2 * LEASE / 5), "each other turn is for the others"
    waits = [line for line in caplog.messages if "wait for" in line]
    assert waits == ["calls of node-b wait for a node that reaches CXone: 1"]
    assert own_redis.run("HKEYS", keys.OPEN_CALLS + other.lease.epoch) == ["call-1"]
    await other.close()
    await server.close()


async def test_a_rescuer_writes_what_it_was_notified_of_for_later_ones(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    await node.turn(Controls())
    path: Any = PathTo(other)
    node.witnesses.http = path
    own_redis.kill()
    assert await node.witnesses.notify("call-1")
    await other.turn(Controls())
    own_redis.start()
    await node.turn(Controls())  # Redis has lost its data
    await other.turn(Controls())
    assert set(own_redis.run("SMEMBERS", keys.UNCLAIMED + node.lease.epoch)) == {"call-1"}
    await other.close()
