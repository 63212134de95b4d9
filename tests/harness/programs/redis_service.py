"""Redis as operators run it: a primary, its replica, and a Sentinel that makes the replica the next primary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.harness.waiting import wait_for

from .redis import RedisServer, redis_server

NAME = "main"
DOWN_MS = 3000


@dataclass
class RedisService:
    """All servers, and the Sentinel that monitors them as `NAME`."""

    servers: tuple[RedisServer, RedisServer]
    sentinel: RedisServer

    @property
    def url(self) -> str:
        """The URL for the bridge, through the Sentinel."""
        return self.url_at("127.0.0.1")

    def url_at(self, address: str) -> str:
        """Return the URL for a bridge that reaches the Sentinel at another address."""
        return f"redis+sentinel://{address}:{self.sentinel.port}/{NAME}"

    @property
    def primary(self) -> RedisServer:
        """The primary, as the Sentinel says."""
        _, port = self.sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(port))

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def wait_for_replica(self, seconds: float = 30) -> None:
        """Return once the replica has all that the primary has, and the Sentinel knows it."""
        wait_for(self._is_whole, "the replica's link", seconds)

    def _is_whole(self) -> bool:
        try:
            link = self.replica.info("replication").get("master_link_status")
            role = self.primary.info("replication")["role"]
        except redis.RedisError:  # it is away
            return False
        return (link, role) == ("up", "master") and bool(self.sentinel.run("SENTINEL", "REPLICAS", NAME))


@contextmanager
def redis_service(folder: Path, *, down_ms: int = DOWN_MS, appendonly: str = "no") -> Iterator[RedisService]:
    """Run it; a primary that is silent for `down_ms` is replaced. With `appendonly="yes"` the servers have a disk."""
    with ExitStack() as stack:
        names = ("first", "second")
        first, second = (
            stack.enter_context(redis_server(_folder(folder, name), appendonly=appendonly)) for name in names
        )
        second.run("REPLICAOF", "127.0.0.1", first.port)
        sentinel = stack.enter_context(redis_server(_folder(folder, "sentinel"), sentinel=True))
        sentinel.run("SENTINEL", "MONITOR", NAME, "127.0.0.1", first.port, 1)
        sentinel.run("SENTINEL", "SET", NAME, "down-after-milliseconds", down_ms, "failover-timeout", 5000)
        service = RedisService((first, second), sentinel)
        service.wait_for_replica()
        yield service


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
