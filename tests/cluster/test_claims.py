"""Each contact is signalled by one node: the owner of the claim."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster import claims
from sipbridge.cluster.claims import Claims
from sipbridge.cluster.lease import Lease
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.calls import RedisStore
from sipbridge.store.redis.scripts import Command
from sipbridge.store.redis.server import Server
from tests.harness.programs.redis import RedisServer
from tests.store.records import make_handoff, make_record

RECORD = make_record("call-1")
CLAIM = keys.claim(RECORD.client, RECORD.call_id)
DUPLICATE, UNDELIVERED = SignalResult.DUPLICATE, SignalResult.UNDELIVERED
RESULTS = [SignalResult.ACCEPTED, SignalResult.REFUSED, SignalResult.UNKNOWN]


async def always(_call_id: str) -> bool:
    return True


async def never(_call_id: str) -> bool:
    return False


def node(
    server: Any,  # noqa: ANN401 (a fake, too)
    *,
    is_safe: Callable[[str], Awaitable[bool]] = always,
    is_alive: bool = True,
    replicas: bool = False,
) -> Claims:
    """Return the claims of a node of its own."""
    return Claims(server, Lease(server, "node", 15), is_safe, lambda: is_alive, lambda: replicas)


async def test_the_first_node_may_signal_and_no_other_one(server: Server) -> None:
    first, second = node(server), node(server)
    assert await first.claim(RECORD) is None
    assert await second.claim(RECORD) is DUPLICATE
    assert await first.claim(RECORD) is None, "another attempt of the same node"


async def test_of_many_nodes_at_once_one_may_signal(server: Server) -> None:
    results = await asyncio.gather(*(node(server).claim(RECORD) for _ in range(20)))
    assert results.count(None) == 1


@pytest.mark.parametrize("result", [*RESULTS, None])
async def test_a_claim_is_never_given_back(server: Server, result: SignalResult | None) -> None:
    first, second = node(server), node(server)
    await first.claim(RECORD)
    if result is not None:
        first.settle(RECORD, result)
        await first.write_results()
    assert await second.claim(RECORD) is DUPLICATE


async def test_a_signal_that_certainly_did_not_arrive_passes_on_and_not_back(server: Server) -> None:
    first, second = node(server), node(server)
    await first.claim(RECORD)
    first.settle(RECORD, UNDELIVERED)
    await first.write_results()
    assert await second.claim(RECORD) is None
    assert await first.claim(RECORD) is DUPLICATE


async def test_a_late_result_of_an_earlier_attempt_changes_nothing(server: Server, redis: RedisServer) -> None:
    first = node(server)
    await first.claim(RECORD)
    first.settle(RECORD, UNDELIVERED)  # its task has not run yet
    await first.claim(RECORD)
    await first.write_results()
    assert redis.run("HGET", CLAIM, "result") in ("", None)
    assert await node(server).claim(RECORD) is DUPLICATE


async def test_a_node_that_counts_as_dead_claims_nothing(server: Server, redis: RedisServer) -> None:
    lease = Lease(server, "node", 15)
    redis.run("SET", keys.RESCUE + lease.epoch, "another")
    assert await Claims(server, lease, always, lambda: True, lambda: False).claim(RECORD) is UNDELIVERED, (
        "so the caller gets BYE"
    )
    assert redis.run("EXISTS", CLAIM) == 0


async def test_calls_that_another_node_has_are_not_claimed(server: Server, redis: RedisServer) -> None:
    first = node(server)
    first.give_up([RECORD.call_id])
    assert await first.claim(RECORD) is UNDELIVERED, "so the caller gets BYE: the other node may not know the call"
    assert redis.run("EXISTS", CLAIM) == 0


async def test_without_a_replica_a_claim_counts_as_unreplicated(server: Server) -> None:
    first = node(server, replicas=True)
    assert await first.claim(RECORD) is None
    assert (first.counts.mine, first.counts.unreplicated) == (1, 1)


class _Away:
    """A Redis that does not respond."""

    async def run(self, commands: object, *, seconds: float) -> list[Any]:  # noqa: ARG002 (the Protocol has them)
        raise StoreError("Redis has not responded")


@pytest.mark.parametrize(("is_safe", "result"), [(True, None), (False, UNDELIVERED)])
async def test_without_redis_a_node_signals_only_what_no_other_one_can(
    *, is_safe: bool, result: SignalResult | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0)
    asked: list[str] = []

    async def judge(call_id: str) -> bool:
        asked.append(call_id)
        return is_safe

    first = node(_Away(), is_safe=judge)
    assert await first.claim(RECORD) is result
    assert asked == [RECORD.call_id]
    assert (first.counts.unclaimed, first.counts.refused) == (int(is_safe), int(not is_safe))


async def test_a_signal_that_is_not_safe_without_a_claim_waits_for_redis(server: Server) -> None:
    class Late:
        """A Redis whose first response is lost, after it has the claim."""

        responses = 0

        async def run(self, commands: Sequence[Command], *, seconds: float) -> list[Any]:
            results = await server.run(commands, seconds=seconds)
            self.responses += 1
            if self.responses == 1:
                raise StoreError("Redis has not responded")
            return results

    first = node(Late(), is_safe=never)
    assert await first.claim(RECORD) is None
    assert (first.counts.mine, first.counts.refused) == (1, 0)
    assert await node(server).claim(RECORD) is DUPLICATE


async def test_a_redis_that_stands_still_delays_a_claim_by_its_time_limit(
    server: Server, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.05)
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0)
    first = node(server, is_safe=never)
    redis.pause()
    try:
        assert await first.claim(RECORD) is UNDELIVERED
    finally:
        redis.resume()


async def test_a_claim_takes_the_put_of_its_record_along(server: Server, redis: RedisServer) -> None:
    store = await RedisStore.open(RedisUrl.parse(redis.url), retention=timedelta(hours=1))
    first = node(server)
    first.take_puts_along(store.waiting_put)
    record = RECORD.changed(handoff=make_handoff())
    store.put_later(record)
    assert await first.claim(record) is None
    assert redis.run("EXISTS", keys.call_keys(record.client, record.project).call + record.call_id) == 1
    assert store.waiting == 0
    assert await first.claim(record) is None, "without a put"
    await store.close()


async def test_the_results_of_many_signals_go_together(server: Server, redis: RedisServer) -> None:
    first = node(server)
    records = [make_record(f"call-{n}") for n in range(20)]
    await asyncio.gather(*map(first.claim, records))
    for record in records:
        first.settle(record, SignalResult.ACCEPTED)
    async with asyncio.timeout(30):
        while {redis.run("HGET", keys.claim("acme", each.call_id), "result") for each in records} != {"accepted"}:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- callers who are moved without a Signal


class NoRedis:
    """A Redis that does not respond."""

    async def run(self, *_: object, **__: object) -> list[Any]:
        raise StoreError("Redis: no connection")


async def test_a_node_that_is_alive_transfers_a_caller_without_asking_redis() -> None:
    assert await node(NoRedis(), is_safe=never).may_transfer(RECORD)


async def test_a_node_that_may_have_been_taken_over_transfers_no_caller_who_is_signalled(server: Server) -> None:
    woken, rescuer = node(server, is_alive=False), node(server)
    assert await woken.may_transfer(RECORD)
    assert await rescuer.claim(RECORD) is DUPLICATE, "nor does its rescuer signal one who is transferred"
    other = make_record("call-2")
    assert await rescuer.claim(other) is None
    assert not await woken.may_transfer(other)


async def test_a_node_that_was_taken_over_transfers_no_caller(server: Server, redis: RedisServer) -> None:
    lease = Lease(server, "node", 15)
    redis.run("SET", keys.RESCUE + lease.epoch, "rescuer")
    assert not await Claims(server, lease, always, lambda: False, lambda: False).may_transfer(RECORD)
    woken = node(server)
    woken.give_up([RECORD.call_id])
    assert not await woken.may_transfer(RECORD)


@pytest.mark.parametrize(("is_safe", "may"), [(always, True), (never, False)])
async def test_without_redis_the_rescuers_of_a_node_decide_if_it_may_transfer_a_caller(
    is_safe: Callable[[str], Awaitable[bool]], *, may: bool
) -> None:
    assert await node(NoRedis(), is_safe=is_safe, is_alive=False).may_transfer(RECORD) is may
