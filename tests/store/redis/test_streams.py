"""The tail of streams in Redis: each entry is passed on, in order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store import tail as tails
from sipbridge.store.redis import server as servers
from sipbridge.store.redis.server import Server
from sipbridge.store.redis.streams import StreamEntry, Streams
from sipbridge.store.tail import Tail
from tests.harness.programs.redis import RedisServer

StreamTail = Tail[str, StreamEntry]


class Listener:
    """Notes the entries; the first calls may fail."""

    def __init__(self, *failures: Exception) -> None:
        self.seen: list[str] = []
        self.failures = list(failures)
        self._new = asyncio.Event()

    async def __call__(self, entries: Sequence[StreamEntry]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.seen += [entry.fields["n"] for entry in entries]
        self._new.set()

    async def until(self, *seen: str) -> None:
        async with asyncio.timeout(30):
            while self.seen != list(seen):
                self._new.clear()
                await self._new.wait()


@pytest.fixture
async def tail(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamTail]:
    monkeypatch.setattr(tails, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(servers, "READ_SECONDS", 30.0)
    server = Server(RedisUrl.parse(redis.url))
    opened = StreamTail(Streams(server))
    yield opened
    await opened.close()
    await server.close()


def add(redis: RedisServer, key: str, *numbers: int) -> None:
    for number in numbers:
        redis.run("XADD", key, "*", "n", number)


async def test_what_is_added_is_passed_on_in_order(tail: StreamTail, redis: RedisServer) -> None:
    add(redis, "a", 1)
    listener = Listener()
    async with tail.follow("a", listener):
        add(redis, "a", 2, 3)
        await listener.until("2", "3")
        add(redis, "a", 4)
        await listener.until("2", "3", "4")
    add(redis, "a", 5)
    async with tail.follow("a", listener):
        add(redis, "a", 6)
        await listener.until("2", "3", "4", "6")


async def test_a_stream_is_followed_while_another_is_waited_for(tail: StreamTail, redis: RedisServer) -> None:
    first, second = Listener(), Listener()
    async with tail.follow("a", first), tail.follow("b", second):
        add(redis, "b", 1)
        await second.until("1")
        add(redis, "a", 2)
        await first.until("2")


async def test_followers_of_a_stream_share_its_listener(tail: StreamTail, redis: RedisServer) -> None:
    listener = Listener()
    async with tail.follow("a", listener):
        async with tail.follow("a", listener):
            add(redis, "a", 1)
            await listener.until("1")
        add(redis, "a", 2)
        await listener.until("1", "2")


async def test_entries_are_passed_on_again_if_the_store_fails(tail: StreamTail, redis: RedisServer) -> None:
    listener = Listener(StoreError("away"), StoreError("away"))
    async with tail.follow("a", listener):
        add(redis, "a", 1)
        await listener.until("1")


async def test_a_fault_in_a_listener_costs_its_entries_only(tail: StreamTail, redis: RedisServer) -> None:
    listener, sound = Listener(ValueError("a fault")), Listener()
    async with tail.follow("a", listener), tail.follow("b", sound):
        add(redis, "a", 1)
        add(redis, "b", 1)
        await sound.until("1")
        while listener.failures:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
        add(redis, "a", 2)
        await listener.until("2")


async def test_nothing_is_missed_while_redis_is_away(
    tail: StreamTail, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    async with tail.follow("a", listener):
        add(redis, "a", 1)
        await listener.until("1")
        redis.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        add(redis, "a", 2)
        await listener.until("1", "2")
        monkeypatch.setattr(servers, "READ_SECONDS", 0.05)
        redis.pause()
        try:
            with pytest.raises(StoreError):
                async with tail.follow("b", listener):
                    pass
        finally:
            redis.resume()
        add(redis, "a", 3)
        await listener.until("1", "2", "3")
