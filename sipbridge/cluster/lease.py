"""The lease of this node: its id, and its epoch, one run of the node between two rescues.

| state | meaning | next |
|---|---|---|
| `NEW` | Redis does not know the epoch yet | `HELD` by `join` |
| `HELD` | the last renewal succeeded | `AWAY` if one fails; `RESCUED` or `DISPLACED` if Redis says so |
| `AWAY` | Redis does not respond | as `HELD` |
| `DISPLACED` | another node has this id | `HELD` once its lease has ended |
| `RESCUED` | another node has taken the calls of this epoch | `NEW` with another epoch, once those have ended here |

Invariant: an epoch that was rescued never becomes `HELD` again. A rescue leaves a mark in Redis that a renewal finds in
the same step in which it would write the lease.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from redis.exceptions import RedisError

from sipbridge.cluster.fleet import Listed, Renewal, SeenLease
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import LEAVE, RENEW_LEASE, Command

RENEWALS_PER_LEASE = 5
# For which a process may stand still and still find the claims and the mark of its rescue.
LONGEST_PAUSE_MS = 24 * 3600 * 1000
REDIS_SECONDS = 1.0  # for a round trip that no call waits for


class Commands(Protocol):
    """Runs commands in Redis: `store.redis.server.Server`."""

    async def run(self, commands: Sequence[Command], *, seconds: float) -> list[Any]:
        """Run commands in one round trip; return the response or the `RedisError` of each. Raises `StoreError`."""


class LeaseState(Enum):
    """The state of the lease."""

    NEW = "new"
    HELD = "held"
    AWAY = "away"
    DISPLACED = "displaced"
    RESCUED = "rescued"


_STATES = {
    "renewed": LeaseState.HELD,
    "joined": LeaseState.HELD,
    "rescued": LeaseState.RESCUED,
    "displaced": LeaseState.DISPLACED,
}


class Lease:
    """The lease of a node with that id, which other nodes reach under `url` once it has joined."""

    def __init__(self, redis: Commands, node_id: str, seconds: float, secret_mark: str = "") -> None:
        self._secret_mark = secret_mark
        self._former_epoch = ""
        self.node_id = node_id
        self.seconds = seconds
        self.epoch = uuid.uuid4().hex
        self.state = LeaseState.NEW
        self.url = ""
        self._redis = redis
        self._renewals = 0
        self._others: Sequence[Listed] = ()
        self._known_change = "none"  # in Redis, up to which it knows the nodes

    async def nodes(self) -> list[Listed]:
        """Return the nodes that Redis has. Raises `StoreError`."""
        (found,) = await self._run(("HGETALL", keys.NODES))
        return [Listed.read(epoch, description) for epoch, description in found.items()]

    async def with_lease(self, nodes: Sequence[Listed]) -> list[Listed]:
        """Return those of the nodes that have a lease. Raises `StoreError`."""
        holders = await self._run(*(("HGET", keys.LEASE + node.id, "epoch") for node in nodes))
        return [node for node, holder in zip(nodes, holders, strict=True) if holder == node.epoch]

    async def join(self, url: str) -> Renewal:
        """Take the lease, even from another epoch, and be among the nodes from now on.

        Raises `StoreError`.
        """
        self.url = url
        seen, _ = await self._renew({}, (), displaced="any")
        return seen

    async def renew(self, shown: Mapping[str, str | int], wards: Iterable[Listed] = ()) -> tuple[Renewal, bool]:
        """Renew the lease, which shows these fields, and look at those of the wards.

        The second result is True if Redis had forgotten this node, also if the response that said so was lost.

        That of a rescued epoch is not renewed. Raises `StoreError` if Redis does not respond.
        """
        if self.state is LeaseState.RESCUED:
            return Renewal(self.epoch, (), {}), False
        try:
            return await self._renew(shown, tuple(wards), displaced=self._former_epoch)
        except StoreError:
            self.state = LeaseState.AWAY
            raise

    def begin_again(self) -> None:
        """Take another epoch, as the calls of a rescued one have ended."""
        self._former_epoch, self.epoch = self.epoch, uuid.uuid4().hex
        self.state = LeaseState.NEW

    async def leave(self) -> None:
        """Give the lease up; the node remains to be taken over if it leaves calls or chats. Raises `StoreError`."""
        prefixes = (keys.OPEN_CALLS, keys.CHATS_OPEN, keys.CHATS_UNDELIVERED, keys.OPEN_CALLS_WRITE)
        left = (prefix + self.epoch for prefix in prefixes)
        key = (keys.LEASE + self.node_id, keys.NODES, keys.NODES_CHANGE, *left)
        await self._run(LEAVE.command(key, self.epoch, LONGEST_PAUSE_MS))

    async def _renew(
        self, shown: Mapping[str, str | int], wards: Sequence[Listed], *, displaced: str
    ) -> tuple[Renewal, bool]:
        self._renewals += 1
        description = json.dumps({"id": self.node_id, "url": self.url, "secret": self._secret_mark})
        fields = [part for pair in ({"url": self.url} | dict(shown)).items() for part in pair]
        command = RENEW_LEASE.command(
            (keys.LEASE + self.node_id, keys.NODES, keys.NODES_CHANGE, keys.RESCUE + self.epoch),
            *(self.epoch, self._renewals, round(self.seconds * 1000), description),
            *(self._known_change, displaced, *fields),
        )
        looks = (("HMGET", keys.LEASE + ward.id, "epoch", "renewal", "draining") for ward in wards)
        (state, change, *changed), *leases = await self._run(command, *looks)
        # A response may have been lost, and another node may have come since.
        joined = bool(changed) and (self.state is LeaseState.AWAY or change.startswith(f"joined:{self.epoch}:"))
        self.state = _STATES[state]
        if changed:
            ((*parts,),) = changed
            nodes = [Listed.read(*parts[at : at + 2]) for at in range(0, len(parts), 2)]
            self._others = tuple(node for node in nodes if node.epoch != self.epoch)
            self._known_change = change
        seen = {
            ward.epoch: SeenLease(renewal, draining == "1") if holder == ward.epoch else None
            for ward, (holder, renewal, draining) in zip(wards, leases, strict=True)
        }
        return Renewal(self.epoch, self._others, seen), joined

    async def _run(self, *commands: Command) -> list[Any]:
        results = await self._redis.run(commands, seconds=REDIS_SECONDS) if commands else []
        for result in results:
            if isinstance(result, RedisError):
                raise StoreError(f"Redis: {result}") from result
        return results
