"""A node among others, turn by turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.cluster import Cluster, NodeSettings
from sipbridge.cluster import cluster as module
from sipbridge.cluster.lease import LeaseState
from sipbridge.cluster.takeover import WAIT_SECONDS, Recovery, Takeover
from sipbridge.config import StoreConfig
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import ConfigError, HttpNotReached, NodeTakenOver
from sipbridge.http import Response
from sipbridge.http.node_headers import NODE, PROBE
from sipbridge.store import open_chat_store
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from sipbridge.store.redis.server import Server
from sipbridge.web import NodeReport, OtherNode
from tests.fakes import FakeCallJournal, FakeStore, Journal
from tests.harness.programs.redis import RedisServer, redis_server
from tests.store.chats.chats import make_chat
from tests.store.records import make_record

LEASE = 15.0


class Controls:
    """A bridge with calls and chats."""

    def __init__(self) -> None:
        self.calls = 0
        self.chats = 0
        self.draining = False
        self.ended: list[str] = []
        self.obstacles: list[str | None] = []

    def obstacle(self) -> str | None:
        return self.obstacles[-1]

    def end_taken_over(self) -> list[str]:
        self.ended = ["call-1"]
        return self.ended

    def withhold_readiness(self, reason: str | None) -> None:
        self.obstacles.append(reason)


class Time:
    """The clocks of the node: the monotonic one, and that of the day."""

    now = 1000.0
    set_ahead = 5e8

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.set_ahead


class NoPath:
    """The HTTP client of a node that reaches no other one."""

    async def request(self, *_: object, **__: object) -> Any:  # noqa: ANN401 (it returns nothing)
        raise HttpNotReached("no connection")


class PathTo:
    """The HTTP client of a node that reaches another one."""

    def __init__(self, node: Cluster) -> None:
        self._node = node

    async def request(self, *_: object, headers: dict[str, str], **__: object) -> Response:
        answer = self._node.owners.respond_to_probe(headers[PROBE])
        return Response(200, {NODE.lower().encode(): answer} if answer else {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def make_node(redis: RedisServer, node_id: str = "node-a", secret: str = "shared-by-all-nodes") -> Cluster:  # noqa: S107 (of a test)
    return Cluster(RedisUrl.parse(redis.url), NodeSettings(node_id, LEASE, secret, max_calls=10))


async def join(node: Cluster) -> None:
    no_path: Any = NoPath()
    await node.join(f"http://{node.settings.id}", no_path)


@pytest.fixture
async def node(own_redis: RedisServer, clock: Time) -> AsyncIterator[Cluster]:  # noqa: ARG001 (before the node)
    made = make_node(own_redis)
    await join(made)
    yield made
    await made.close()


async def test_a_rescued_node_ends_its_calls_and_begins_another_epoch(node: Cluster, own_redis: RedisServer) -> None:
    controls, epoch = Controls(), node.lease.epoch
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    await node.turn(controls)
    assert controls.obstacle() is None
    controls.calls = controls.chats = 1
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    await node.turn(controls)
    assert controls.ended == ["call-1"]
    assert controls.obstacle() == "another node has taken over the calls and chats of this one"
    assert not node.may_relay()
    assert node.may_be_rescued(), "it was"
    assert await node.claims.claim(make_record("call-1")) is SignalResult.UNDELIVERED
    assert "call-1" not in node.open_calls
    await node.turn(controls)
    assert node.lease.epoch == epoch, "a call still ends"
    controls.calls = 0
    await node.turn(controls)
    assert node.lease.epoch == epoch, "a chat still ends"
    controls.chats = 0
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.HELD, None)
    assert node.lease.epoch != epoch
    assert node.may_relay()
    assert await node.claims.claim(make_record("call-2")) is None


async def test_a_call_that_comes_in_after_the_rescue_is_ended_too(node: Cluster, own_redis: RedisServer) -> None:
    controls, epoch = Controls(), node.lease.epoch
    controls.calls = 1
    own_redis.run("SET", keys.RESCUE + epoch, "another")
    with pytest.raises(NodeTakenOver):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-0"), {})))
    await node.turn(controls)
    controls.ended = []
    await node.turn(controls)
    assert controls.ended == ["call-1"]
    own_redis.kill()
    with pytest.raises(NodeTakenOver):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-2"), {})))
    own_redis.start()
    controls.calls = 0
    await node.turn(controls)
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-3"), {})))
    assert own_redis.run("EXISTS", keys.OPEN_CALLS + epoch) == 0
    assert own_redis.run("HKEYS", keys.OPEN_CALLS + node.lease.epoch) == ["call-3"]


async def test_a_node_whose_monotonic_clock_stood_still_sends_nothing_before_its_next_renewal(
    node: Cluster, clock: Time
) -> None:
    await node.turn(Controls())
    assert node.may_relay()
    clock.set_ahead += LEASE  # the machine was paused, and its clock is set right
    assert not node.may_relay()
    await node.turn(Controls())
    assert node.may_relay()
    clock.set_ahead -= 10 * LEASE
    assert node.may_relay(), "the monotonic clock decides"


async def test_a_node_alone_takes_calls_and_signals_while_redis_is_away(
    node: Cluster, own_redis: RedisServer, clock: Time
) -> None:
    controls = Controls()
    record, journal = make_record("call-1"), node.journal(FakeCallJournal(Journal()))
    await journal.begin(record, {})
    own_redis.kill()
    clock.now += 10 * LEASE
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.AWAY, None)
    await journal.signalling(record)
    assert await node.claims.claim(record) is None
    assert await node.claims.claim(make_record("another")) is SignalResult.UNDELIVERED, "not a call of this node"
    assert not node.may_relay(), "a node that has just come may have its chats"
    own_redis.start()
    assert await signal_for_a_rescuer(own_redis, node.lease.epoch, "call-1") is SignalResult.UNKNOWN


async def signal_for_a_rescuer(redis: RedisServer, epoch: str, call_id: str) -> SignalResult:
    """Wait until a rescuer would find a Signal of an open call, and return it."""
    async with asyncio.timeout(30):
        while True:
            lines: str | None = redis.run("HGET", keys.OPEN_CALLS + epoch, call_id)
            call = entries.read_call(lines.encode()) if lines else None
            if call and call.signal:
                return call.signal
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "change", [("CONFIG", "SET", "maxmemory", "1kb"), ("REPLICAOF", "127.0.0.1", "1")], ids=["full", "read-only"]
)
async def test_a_redis_that_refuses_writes_is_like_one_that_is_away(
    node: Cluster, own_redis: RedisServer, clock: Time, change: tuple[str, ...]
) -> None:
    controls = Controls()
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    own_redis.run(*change)
    clock.now += 10 * LEASE
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.AWAY, None)
    assert await node.claims.claim(make_record("call-1")) is None
    assert node.claims.counts.unclaimed == 1


async def test_a_node_that_nothing_sees_takes_no_calls_and_signals_no_contact(
    node: Cluster, own_redis: RedisServer, clock: Time
) -> None:
    other, controls = make_node(own_redis, "node-b"), Controls()
    await join(other)
    path: Any = PathTo(other)
    for call_id in ("call-1", "call-2"):
        node.open_calls.begin(entries.began(make_record(call_id), {}))
    await node.turn(controls)
    own_redis.kill()
    clock.now += LEASE - 1
    await node.turn(controls)
    assert controls.obstacle() is None
    assert await node.claims.claim(make_record("call-2")) is SignalResult.UNDELIVERED, "its rescuer cannot be told"
    node.witnesses.http = path
    assert await node.claims.claim(make_record("call-1")) is None
    assert other.witnesses.take(node.lease.epoch) == {"call-1"}
    assert node.may_relay()
    assert not node.may_be_rescued()
    clock.now += 1
    assert not node.may_relay(), "at once, as after a stop of the process"
    assert node.may_be_rescued()
    await node.turn(controls)
    assert controls.obstacle() == "neither Redis nor all nodes that watch it see this one"
    assert await node.claims.claim(make_record("call-1")) is SignalResult.UNDELIVERED
    own_redis.start()
    await node.turn(controls)
    assert (node.lease.state, controls.obstacle()) == (LeaseState.HELD, None)
    await other.close()


async def test_a_redis_that_lost_its_data_gets_node_and_calls_again(node: Cluster, own_redis: RedisServer) -> None:
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-1"), {})))
    own_redis.run("FLUSHALL")
    await node.turn(Controls())
    await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-2"), {})))
    assert set(own_redis.run("HKEYS", keys.OPEN_CALLS + node.lease.epoch)) == {"call-1", "call-2"}


async def test_calls_are_written_again_if_a_failover_has_brought_an_older_state_back(
    node: Cluster, own_redis: RedisServer, tmp_path: Path
) -> None:
    """The node follows the primary under one address, and the replica that becomes the primary has not all writes."""
    controls, open_calls = Controls(), keys.OPEN_CALLS + node.lease.epoch
    written_again: list[str] = []
    node.on_lost_writes(lambda: written_again.append("records"))
    for call_id in ("call-1", "call-2"):
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record(call_id), {})))
    await node.turn(controls)
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replica.run("REPLICAOF", "127.0.0.1", own_redis.port)
        await until(lambda: replica.run("HLEN", open_calls) == 2)
        replica.run("REPLICAOF", "NO", "ONE")
        node.open_calls.remove("call-1")
        await node.open_calls.confirm(node.open_calls.begin(entries.began(make_record("call-3"), {})))
        await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-2", "call-3"})
        own_redis.run("REPLICAOF", "127.0.0.1", replica.port)
        await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-1", "call-2"})
        own_redis.run("REPLICAOF", "NO", "ONE")
    assert written_again == []
    await node.turn(controls)
    await until(lambda: set(own_redis.run("HKEYS", open_calls)) == {"call-2", "call-3"})
    assert written_again == ["records"]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so in Redis, which does not notify."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


def use_recovery(node: Cluster, server: Server, recovery: Recovery) -> None:
    """Let a node recover the calls of others like this."""
    node.takeover = Takeover(
        server,
        node.lease,
        open_no_store,
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


async def open_no_store() -> RecordStore:
    return FakeStore(Journal())


async def test_a_redis_that_accepts_writes_without_its_replicas_is_logged_once(
    node: Cluster, own_redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await node.turn(Controls())
    assert not any("min-replicas-to-write" in line for line in caplog.messages)
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica") as replica:
        replica.run("REPLICAOF", "127.0.0.1", own_redis.port)
        await until(lambda: own_redis.info("replication")["connected_slaves"] == 1)
        for _ in range(2):
            await node.turn(Controls())
    assert len([line for line in caplog.messages if "min-replicas-to-write" in line]) == 1


async def test_the_nodes_are_listed_as_their_leases_show_them(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    controls = Controls()
    controls.calls, controls.draining = 3, True
    await other.turn(controls)
    await node.turn(Controls())
    this = NodeReport("node-a", "http://node-a", "alive", is_this=True, calls=0, max_calls=10)
    second = NodeReport("node-b", "http://node-b", "draining", is_this=False, calls=3, max_calls=10)
    assert await node.owners.all() == [this, second]
    without_lease = second._replace(state="lost", calls=None, max_calls=None)
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.all() == [this, without_lease]
    own_redis.kill()
    assert await node.owners.all() == [
        this._replace(calls=None, max_calls=None),
        without_lease._replace(state="unknown"),
    ]
    own_redis.start()
    await other.close()


async def test_the_owner_of_a_call_is_found(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record("call-1"), {})))
    owner = OtherNode(other.lease.epoch, "http://node-b", has_lease=True)
    assert await node.owners.owner_of_call("call-1") == owner
    assert await other.owners.owner_of_call("call-1") is None, "its own call"
    assert await node.owners.owner_of_call("call-2") is None
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.owner_of_call("call-1") == owner._replace(has_lease=False)
    await other.close()


async def test_the_owner_of_a_chat_is_found_by_the_id_of_its_bot(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    store = await open_chat_store(StoreConfig(url=own_redis.url), lambda: other.lease.epoch)
    chat = await store.create(make_chat())
    ids = (chat.client, chat.project, chat.chat_id)
    owner = OtherNode(other.lease.epoch, "http://node-b", has_lease=True)
    assert await node.owners.owner_of_chat(*ids) == owner
    assert await other.owners.owner_of_chat(*ids) is None, "its own chat"
    assert await node.owners.owner_of_chat(chat.client, chat.project, "another") is None
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.owner_of_chat(*ids) == owner._replace(has_lease=False)
    await store.close()
    await other.close()


@pytest.mark.parametrize("has_lease", [True, False])
async def test_a_node_whose_id_a_running_one_has_does_not_join(
    node: Cluster, own_redis: RedisServer, *, has_lease: bool
) -> None:
    """Also one that lost its lease just now: its calls would be recovered as those of a crash."""
    if not has_lease:
        own_redis.run("DEL", keys.LEASE + "node-a")
    second = make_node(own_redis, "node-a")
    path: Any = PathTo(node)
    with pytest.raises(ConfigError, match=r"^node\.id: is in use by the node at http://node-a; "):
        await second.join("http://second", path)
    await second.close()
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]


async def test_a_node_takes_the_place_of_one_that_crashed(node: Cluster, own_redis: RedisServer) -> None:
    second = make_node(own_redis, "node-a")
    await join(second)
    assert own_redis.run("HGET", keys.LEASE + "node-a", "epoch") == second.lease.epoch
    assert [former.epoch for former in second.fleet.former()] == [node.lease.epoch]
    await second.close()


async def test_nodes_that_do_not_share_the_secret_do_not_join(node: Cluster, own_redis: RedisServer) -> None:
    stranger = make_node(own_redis, "node-b", secret="another-secret-of-16")
    with pytest.raises(ConfigError, match=r"^http\.pop_link_secret: differs from that of node node-a; "):
        await join(stranger)
    await stranger.close()
    assert own_redis.run("HKEYS", keys.NODES) == [node.lease.epoch]
