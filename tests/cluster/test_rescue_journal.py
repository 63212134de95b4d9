"""The journal of calls that are being rescued, as the next rescuer finds it."""

from __future__ import annotations

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster.rescue_journal import RescueJournal
from sipbridge.errors import StoreError
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from sipbridge.store.redis.server import Server
from tests.harness.programs.redis import RedisServer
from tests.store.records import make_record

CALLS = ("call-1", "call-2", "call-3")


@pytest.fixture
def journal(server: Server, redis: RedisServer) -> RescueJournal:
    journal = RescueJournal(server, "dead")
    for call_id in CALLS:
        lines = entries.began(make_record(call_id), {}).line.decode()
        redis.run("HSET", keys.OPEN_CALLS + "dead", call_id, lines)
        journal.found(call_id, lines)
    return journal


def signals(redis: RedisServer) -> list[SignalResult | None]:
    """Return the Signals of the calls that the next rescuer finds."""
    lines = redis.run("HMGET", keys.OPEN_CALLS + "dead", *CALLS)
    return [call.signal if call else None for call in (entries.read_call(each.encode()) for each in lines)]


async def test_redis_knows_which_signals_are_withheld_before_the_first_byte(
    journal: RescueJournal, redis: RedisServer
) -> None:
    assert await journal.signalling(make_record("call-1"), ["call-2", "call-3", "of no node"])
    assert signals(redis) == [None, SignalResult.DUPLICATE, SignalResult.DUPLICATE]
    assert redis.run("HLEN", keys.OPEN_CALLS + "dead") == len(CALLS)
    journal.signalled("call-2", SignalResult.UNDELIVERED)
    journal.signalled("call-1", SignalResult.UNDELIVERED)
    await journal.close()
    assert signals(redis) == [None, None, SignalResult.DUPLICATE]


async def test_a_redis_that_does_not_respond_is_reported(
    journal: RescueJournal, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreError("Redis: no connection")

    monkeypatch.setattr(server, "run", fail)
    assert await journal.signalling(make_record("call-1")), "nothing is written"
    assert not await journal.signalling(make_record("call-1"), ["call-2"])
