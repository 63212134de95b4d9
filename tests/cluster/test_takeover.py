"""The takeover of a dead node: who does it, with which calls, and what remains."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.cluster.chat_owners import ChatOwners
from sipbridge.cluster.claims import Claims
from sipbridge.cluster.fleet import Fleet, Listed, Waiting
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.open_calls import OpenCalls
from sipbridge.cluster.shared_journal import SharedJournal
from sipbridge.cluster.takeover import Takeover, TakeoverCounts
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from sipbridge.store.redis.server import Server
from tests.fakes import FakeCallJournal, FakeStore, Journal
from tests.harness.programs.redis import RedisServer
from tests.store.records import START, make_handoff, make_record


@dataclass
class Rescuer:
    """A node that notes the calls that it recovers, and stores them unless they are in `unstored`."""

    lease: Lease
    server: Server
    recovered: list[Unfinished] = field(default_factory=list)
    unstored: set[str] = field(default_factory=set)
    unknown_projects: set[str] = field(default_factory=set)
    withholds: dict[str, list[SignalResult]] = field(default_factory=dict)
    before: Callable[[], Awaitable[None]] | None = None
    settle: Callable[[], Awaitable[None]] | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()
        self.counts = TakeoverCounts()
        self.unclaimed: defaultdict[str, set[str]] = defaultdict(set)
        chats = ChatOwners(self.server, self.lease, Fleet("rescuer", 15))
        self.takeover = Takeover(
            self.server,
            self.lease,
            self._open_store,
            self,
            chats.release,
            self.unclaimed.__getitem__,
            self._settle_claims,
            self.counts,
        )

    async def _settle_claims(self) -> None:
        if self.settle:
            await self.settle()

    async def _open_store(self) -> RecordStore:
        return FakeStore(Journal())

    def has_project(self, record: CallRecord) -> bool:
        return record.project not in self.unknown_projects

    async def recover(
        self,
        calls: Sequence[Unfinished],
        journal: CallJournal,
        store: RecordStore,  # noqa: ARG002 (not needed)
        *,
        may_be_old: bool,  # noqa: ARG002 (as above)
        may_wait: bool,
    ) -> int:
        self.begun.set()
        await self.may_end.wait()
        if self.before:
            await self.before()
        self.recovered += calls
        for call_id, results in self.withholds.items():
            for result in results:
                if result is SignalResult.DUPLICATE:
                    await journal.signalling(make_record("another"), [call_id])
                else:
                    journal.signalled(call_id, result)
        for call in calls:
            if call.record.call_id not in self.unstored:
                journal.stored(call.record.call_id)
        return len(self.unstored) if may_wait else 0

    @property
    def signals(self) -> dict[str, SignalResult | None]:
        """The known results of the Signals of the recovered calls."""
        return {call.record.call_id: call.signal for call in self.recovered}


async def rescuer(server: Server, node: str = "rescuer") -> Rescuer:
    lease = Lease(server, node, 15)
    await lease.join("http://rescuer")
    return Rescuer(lease, server)


async def always(_call_id: str) -> bool:
    return True


@dataclass
class Dead:
    """A node that had calls, and has no lease any more."""

    lease: Lease
    claims: Claims
    listed: Listed


@pytest.fixture
async def dead(server: Server, redis: RedisServer) -> Dead:
    lease = Lease(server, "dead", 15)
    await lease.join("http://dead")
    calls = OpenCalls(server, lease)
    journal = SharedJournal(FakeCallJournal(Journal()), calls)
    for call_id in ("talking", "signalled", "claimed", "undelivered", "hung-up", "over"):
        assert await journal.begin(make_record(call_id), {"X-Line": "gold"})
    claims = Claims(server, lease, always, lambda: True, lambda: False)
    for call_id, result in (("signalled", SignalResult.ACCEPTED), ("undelivered", SignalResult.UNDELIVERED)):
        await claims.claim(make_record(call_id))
        claims.settle(make_record(call_id), result)
    await claims.claim(make_record("claimed"))
    journal.hung_up("hung-up", "caller", datetime.now(UTC))
    journal.stored("over")
    await claims.write_results()
    await asyncio.sleep(0)  # the end of the leg came from another thread
    await calls.close()
    redis.run("DEL", keys.LEASE + "dead")
    return Dead(lease, claims, Listed(lease.epoch, "dead", "http://dead"))


async def test_the_rescuer_knows_what_became_of_each_call(server: Server, redis: RedisServer, dead: Dead) -> None:
    node = await rescuer(server)
    await node.takeover.run(dead.listed)
    assert node.signals == {
        "talking": None,
        "signalled": SignalResult.ACCEPTED,
        "claimed": SignalResult.UNKNOWN,
        "undelivered": None,
        "hung-up": None,
    }
    calls = {call.record.call_id: call for call in node.recovered}
    assert calls["talking"].headers == {"X-Line": "gold"}
    assert (calls["hung-up"].record.ended_by, calls["talking"].record.ended_by) == ("caller", None)
    assert redis.run("HKEYS", keys.NODES) == [node.lease.epoch]
    assert redis.run("EXISTS", keys.OPEN_CALLS + dead.lease.epoch) == 0
    assert (node.counts.nodes, node.counts.calls) == (1, 5)


async def test_the_rescuer_knows_what_was_announced_of_a_call(server: Server, redis: RedisServer, dead: Dead) -> None:
    answered = make_record("talking", answered_at=START + timedelta(seconds=1))
    turns = (Turn(role="caller", text="My lamp is broken"),)
    handing_off = make_record("undelivered", answered_at=answered.answered_at, handoff=make_handoff(), transcript=turns)
    bodies = {each.call_id: each.model_dump_json() for each in (answered, handing_off)} | {"claimed": "not valid"}
    for call_id, body in bodies.items():
        redis.run("HSET", keys.begun(answered.client, answered.project, call_id), "body", body)
    node = await rescuer(server)
    await node.takeover.run(dead.listed)
    found = {call.record.call_id: call.record for call in node.recovered}
    assert found == {call_id: make_record(call_id) for call_id in found} | {
        "talking": answered,
        "undelivered": handing_off,
        "hung-up": found["hung-up"],
    }


async def test_one_node_at_a_time_takes_a_node_over(server: Server, dead: Dead) -> None:
    first, second = await rescuer(server), await rescuer(server, "second")
    first.may_end.clear()
    running = asyncio.create_task(first.takeover.run(dead.listed))
    await first.begun.wait()
    await second.takeover.run(dead.listed)
    assert second.recovered == []
    first.may_end.set()
    await running
    await second.takeover.run(dead.listed)
    assert second.recovered == []


async def test_a_rescuer_that_dies_is_replaced(server: Server, redis: RedisServer, dead: Dead) -> None:
    first, second = await rescuer(server), await rescuer(server, "second")
    first.may_end.clear()
    running = asyncio.create_task(first.takeover.run(dead.listed))
    await first.begun.wait()
    running.cancel()
    await asyncio.wait([running])
    redis.run("DEL", keys.RESCUER + dead.lease.epoch)  # it ends a lease time after the last renewal
    await second.takeover.run(dead.listed)
    assert len(second.recovered) == 5


async def test_the_next_rescuer_knows_which_signals_are_withheld(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    first, second = await rescuer(server), await rescuer(server, "second")
    first.withholds = {
        "talking": [SignalResult.DUPLICATE],
        "undelivered": [SignalResult.DUPLICATE, SignalResult.UNDELIVERED],
    }
    first.unstored = {"talking", "undelivered"}
    await first.takeover.run(dead.listed)
    await second.takeover.run(dead.listed)
    assert second.signals == {"talking": SignalResult.DUPLICATE, "undelivered": None}
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0


async def test_a_node_with_a_lease_is_not_taken_over(server: Server, dead: Dead) -> None:
    node = await rescuer(server)
    await dead.lease.renew({})
    await node.takeover.run(dead.listed)
    assert node.recovered == []
    await dead.lease.renew({})
    assert dead.lease.state.name == "HELD"


async def test_the_dead_node_finds_out_when_it_wakes_up(server: Server, dead: Dead) -> None:
    node = await rescuer(server)
    await node.takeover.run(dead.listed)
    assert await dead.claims.claim(make_record("talking")) is SignalResult.UNDELIVERED
    await dead.lease.renew({})
    assert dead.lease.state.name == "RESCUED"


async def test_a_call_that_was_signalled_without_a_claim_is_not_signalled_again(server: Server, dead: Dead) -> None:
    node = await rescuer(server)
    node.unclaimed[dead.lease.epoch] = {"talking", "signalled"}
    await node.takeover.run(dead.listed)
    assert (node.signals["talking"], node.signals["signalled"]) == (SignalResult.UNKNOWN, SignalResult.ACCEPTED)
    assert node.signals["undelivered"] is SignalResult.DUPLICATE, "it has the same contact"
    assert node.signals["hung-up"] is None, "it needs no Signal"


@pytest.mark.parametrize("unclaimed", ["talking", "signalled"])
async def test_a_signal_without_a_claim_withholds_those_of_its_contact_that_redis_does_not_know_of(
    server: Server, redis: RedisServer, dead: Dead, unclaimed: str
) -> None:
    for call_id, contact in (("same contact", make_record("talking").contact_id), ("another contact", "contact-2")):
        lines = entries.began(make_record(call_id, contact_id=contact), {}).line.decode()
        redis.run("HSET", keys.OPEN_CALLS + dead.lease.epoch, call_id, lines)
    node = await rescuer(server)
    node.unclaimed[dead.lease.epoch] = {unclaimed}
    await node.takeover.run(dead.listed)
    withheld = SignalResult.DUPLICATE if unclaimed == "talking" else None  # a later call than one that Redis knows of
    assert (node.signals["same contact"], node.signals["another contact"]) == (withheld, None)


async def test_calls_that_could_not_be_stored_are_recovered_again(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    node = await rescuer(server)
    node.unstored = {"talking"}
    await node.takeover.run(dead.listed)
    assert redis.run("HKEYS", keys.OPEN_CALLS + dead.lease.epoch) == ["talking"]
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 1
    node.recovered, node.unstored = [], set()
    await node.takeover.run(dead.listed)
    assert list(node.signals) == ["talking"]
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0


async def test_calls_whose_project_a_rescuer_does_not_have_wait_for_one_that_has_it(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    first, second = await rescuer(server), await rescuer(server, "second")
    first.unknown_projects = {make_record("talking").project}
    assert await first.takeover.run(dead.listed, may_wait=True) == Waiting(without_project=2)
    assert set(first.signals) == {"signalled", "claimed", "hung-up"}, "those need no Signal"
    assert set(redis.run("HKEYS", keys.OPEN_CALLS + dead.lease.epoch)) == {"talking", "undelivered"}
    assert await second.takeover.run(dead.listed, may_wait=True) == Waiting(), "the first one is in its way no longer"
    assert set(second.signals) == {"talking", "undelivered"}
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0
    assert (first.counts.calls, second.counts.calls, second.counts.nodes) == (3, 2, 1)


async def test_calls_whose_signal_does_not_arrive_are_left_to_a_rescuer_that_reaches_cxone(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    first, second = await rescuer(server), await rescuer(server, "second")
    first.unstored = {"talking"}
    assert await first.takeover.run(dead.listed, may_wait=True) == Waiting(without_signal=1)
    assert redis.run("EXISTS", keys.RESCUER + dead.lease.epoch) == 0
    assert await second.takeover.run(dead.listed, may_wait=True) == Waiting()
    assert list(second.signals) == ["talking"]
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0


async def test_the_next_rescuer_knows_that_a_signal_did_not_arrive(server: Server, dead: Dead) -> None:
    """Its claim says so, or else the contact would count as signalled."""
    first, second = await rescuer(server), await rescuer(server, "second")
    claims = Claims(server, first.lease, always, lambda: True, lambda: False)
    record = make_record("talking")

    async def try_in_vain() -> None:
        assert await claims.claim(record) is None
        claims.settle(record, SignalResult.UNDELIVERED)

    first.unstored, first.before, first.settle = {"talking"}, try_in_vain, claims.write_results
    await first.takeover.run(dead.listed, may_wait=True)
    await second.takeover.run(dead.listed, may_wait=True)
    assert second.signals == {"talking": None}


async def test_two_calls_of_a_contact_are_taken_together(server: Server, dead: Dead, redis: RedisServer) -> None:
    """Else each would get its Signal, from two nodes or one after another."""
    lines = entries.began(make_record("second", project="sales", contact_id=make_record("talking").contact_id), {}).line
    redis.run("HSET", keys.OPEN_CALLS + dead.lease.epoch, "second", lines.decode())
    node = await rescuer(server)
    node.unknown_projects = {"sales"}
    assert await node.takeover.run(dead.listed, may_wait=True) == Waiting()
    assert {"talking", "second"} <= set(node.signals)


async def test_calls_that_wait_for_their_project_are_taken_after_a_reload(server: Server, dead: Dead) -> None:
    node = await rescuer(server)
    node.unknown_projects = {make_record("talking").project}
    for _ in range(2):
        assert await node.takeover.run(dead.listed, may_wait=True) == Waiting(without_project=2)
    assert len(node.recovered) == 3, "each once"
    node.unknown_projects = set()
    assert await node.takeover.run(dead.listed, may_wait=True) == Waiting()
    assert len(node.recovered) == 5


async def test_calls_whose_project_no_rescuer_gets_are_closed_in_the_end(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    node = await rescuer(server)
    node.unknown_projects = {make_record("talking").project}
    assert await node.takeover.run(dead.listed, may_wait=False) == Waiting()
    assert len(node.recovered) == 5
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0


async def test_signals_without_a_claim_are_known_by_what_other_rescuers_have_written(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    redis.run("SADD", keys.UNCLAIMED + dead.lease.epoch, "talking")
    node = await rescuer(server)
    await node.takeover.run(dead.listed)
    assert (node.signals["talking"], node.signals["undelivered"]) == (SignalResult.UNKNOWN, SignalResult.DUPLICATE)


async def test_only_the_mark_remains_of_a_node_that_was_taken_over(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    redis.run("SADD", keys.UNCLAIMED + dead.lease.epoch, "talking")
    assert redis.run("EXISTS", keys.OPEN_CALLS_WRITE + dead.lease.epoch) == 1
    await (await rescuer(server)).takeover.run(dead.listed)
    assert redis.run("KEYS", f"*{dead.lease.epoch}*") == [keys.RESCUE + dead.lease.epoch]


async def test_entries_that_cannot_be_read_do_not_stop_a_takeover(
    server: Server, redis: RedisServer, dead: Dead
) -> None:
    redis.run("HSET", keys.OPEN_CALLS + dead.lease.epoch, "broken", "{")
    node = await rescuer(server)
    await node.takeover.run(dead.listed)
    assert len(node.recovered) == 5
    assert redis.run("HEXISTS", keys.NODES, dead.lease.epoch) == 0


async def test_no_node_takes_over_what_its_next_run_recovers(server: Server, dead: Dead) -> None:
    again, other = await rescuer(server, "dead"), await rescuer(server)
    async with again.takeover.reserved([dead.listed]):
        await other.takeover.run(dead.listed)
        await again.takeover.run(dead.listed)
        assert (other.recovered, again.recovered) == ([], [])
        calls = await again.takeover.with_claims([Unfinished(make_record("claimed"), {})])
        assert [call.signal for call in calls] == [SignalResult.UNKNOWN]
    await again.takeover.run(dead.listed)
    assert len(again.recovered) == 5
