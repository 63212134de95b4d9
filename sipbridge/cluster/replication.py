"""The replication of Redis, as this node sees it: whether a claim can wait for a replica, and what a failover lost."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from sipbridge.cluster.lease import REDIS_SECONDS, Commands
from sipbridge.store.redis.checks import split_brain_risk

logger = logging.getLogger(__name__)


class Replication:
    """The replicas of the Redis that a connection leads to."""

    def __init__(self, redis: Commands) -> None:
        self._redis = redis
        self._replicas = 0
        self._has_warned = False
        self._history = ""  # its id, another one after a failover or a restart

    @property
    def has_replicas(self) -> bool:
        """True if Redis had replicas when it was last asked."""
        return self._replicas > 0

    async def watch(self) -> bool:
        """Ask Redis; return True if it may have lost its last writes. Raises `StoreError`.

        Log a risk of its configuration, once.
        """
        (found,) = await self._redis.run([("INFO", "replication")], seconds=REDIS_SECONDS)
        if isinstance(found, RedisError):
            return False
        self._replicas = int(found.get("connected_slaves", 0))
        risk = split_brain_risk(found)
        if risk and not self._has_warned:
            self._has_warned = True
            logger.warning("%s", risk, extra={"event": "redis_split_brain"})
        former, self._history = self._history, str(found.get("master_replid", ""))
        return former not in ("", self._history)
