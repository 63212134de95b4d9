"""The connections to Redis: a response is that of its own command, whatever became of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store.redis import scripts
from sipbridge.store.redis.server import CONNECTIONS, Server, first_error
from tests.harness.programs.redis import RedisServer

SECONDS = 30.0


@pytest.fixture
async def server(redis: RedisServer) -> AsyncIterator[Server]:
    opened = Server(RedisUrl.parse(redis.url))
    yield opened
    await opened.close()


async def echo(server: Server, text: str) -> str:
    (found,) = await server.run([("ECHO", text)], seconds=SECONDS)
    return str(found)


async def test_each_command_has_its_own_response(server: Server) -> None:
    texts = [f"text-{n} \u20ac" for n in range(5 * CONNECTIONS)]
    assert await asyncio.gather(*(echo(server, text) for text in texts)) == texts


async def test_an_error_is_the_response_of_one_command(server: Server) -> None:
    before, error, after = await server.run([("ECHO", "before"), ("INCR",), ("ECHO", "after")], seconds=SECONDS)
    assert (before, after) == ("before", "after")
    assert first_error([before, error, after]) is error


async def test_a_late_response_is_not_that_of_the_next_command(server: Server, redis: RedisServer) -> None:
    assert await echo(server, "first") == "first"
    redis.pause()
    with pytest.raises(StoreError, match=r"has not responded within 0\.05 s"):
        await server.run([("ECHO", "late")], seconds=0.05)
    redis.resume()
    assert await echo(server, "next") == "next"


async def test_connections_that_redis_has_closed_are_replaced(server: Server, redis: RedisServer) -> None:
    await asyncio.gather(*(echo(server, str(n)) for n in range(CONNECTIONS)))
    redis.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    texts = [str(n) for n in range(CONNECTIONS)]
    assert await asyncio.gather(*(echo(server, text) for text in texts)) == texts


async def test_lost_scripts_are_loaded_again(server: Server, redis: RedisServer) -> None:
    redis.run("SCRIPT", "FLUSH")
    key = ("lease", "nodes", "change", "calls", "chats", "undelivered", "write")
    command = scripts.LEAVE.command(key, "epoch", 1000)
    assert await server.run([command], seconds=SECONDS) == ["ok"]


async def test_text_that_is_not_unicode_is_an_error(server: Server) -> None:
    with pytest.raises(StoreError):
        await server.run([("ECHO", "\ud800")], seconds=SECONDS)
    assert await echo(server, "next") == "next"
