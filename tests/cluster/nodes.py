"""Nodes that share a Redis, whose clock a test sets, and the bridges around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import Any

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster import Cluster, NodeSettings
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import HttpNotReached
from sipbridge.http import Response
from sipbridge.http.node_headers import NODE, PROBE
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from tests.harness.programs.redis import RedisServer

LEASE = 15.0


class Controls:
    """A bridge with calls and chats."""

    def __init__(self, *open_calls: str) -> None:
        self._open = list(open_calls)
        self.chats = 0
        self.draining = False
        self.ended: list[str] = []
        self.obstacles: list[str | None] = []

    @property
    def calls(self) -> int:
        return len(self._open)

    def begin(self, call_id: str) -> None:
        self._open.append(call_id)

    def end(self, call_id: str) -> None:
        self._open.remove(call_id)

    def obstacle(self) -> str | None:
        return self.obstacles[-1]

    def end_taken_over(self, kept: Container[str]) -> list[str]:
        self.ended = [call_id for call_id in self._open if call_id not in kept]
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


def make_node(redis: RedisServer, node_id: str = "node-a", secret: str = "shared-by-all-nodes") -> Cluster:  # noqa: S107 (of a test)
    return Cluster(RedisUrl.parse(redis.url), NodeSettings(node_id, LEASE, secret, max_calls=10))


async def join(node: Cluster) -> None:
    no_path: Any = NoPath()
    await node.join(f"http://{node.settings.id}", no_path)


async def signal_for_a_rescuer(redis: RedisServer, epoch: str, call_id: str) -> SignalResult:
    """Wait until a rescuer would find a Signal of an open call, and return it."""
    async with asyncio.timeout(30):
        while True:
            lines: str | None = redis.run("HGET", keys.OPEN_CALLS + epoch, call_id)
            call = entries.read_call(lines.encode()) if lines else None
            if call and call.signal:
                return call.signal
            await asyncio.sleep(0.01)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so in Redis, which does not notify."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
