"""The owners of calls and chats: which other node a request is for, as Redis knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from sipbridge.cluster.fleet import Fleet, Listed
from sipbridge.cluster.lease import REDIS_SECONDS, Commands, Lease
from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import FIND_CALL_OWNER, FIND_CHAT_OWNER, Command
from sipbridge.web import NodeReport, OtherNode

_SHOWN = ("epoch", "calls", "max_calls", "draining")  # of a lease


class Owners:
    """Implements `web.Nodes`. `respond_to_probe` is that of the probes."""

    def __init__(
        self,
        redis: Commands,
        lease: Lease,
        fleet: Fleet,
        secret: NodeSecret,
        respond_to_probe: Callable[[str], str | None],
    ) -> None:
        self.forwards = 0
        self._redis = redis
        self._lease = lease
        self._fleet = fleet
        self._secret = secret
        self._respond_to_probe = respond_to_probe

    @property
    def epoch(self) -> str:
        """The epoch of this node."""
        return self._lease.epoch

    def respond_to_probe(self, probe: str) -> str | None:
        """Take note of another node's probe; return this node's epoch, or None if the probe is not for it."""
        return self._respond_to_probe(probe)

    def sign(self, *parts: str) -> str:
        """Return a signature of these parts, which each node can make and no other program."""
        return self._secret.sign(*parts)

    def count_forward(self) -> None:
        """Count a request that is sent on."""
        self.forwards += 1

    async def owner_of_call(self, call_id: str) -> OtherNode | None:
        """Return the other node that carries a call, or did; None if there is none. Raises `StoreError`."""
        arguments = (call_id, keys.OPEN_CALLS, keys.LEASE, self.epoch)
        return await self._find(FIND_CALL_OWNER.command((keys.NODES,), *arguments))

    async def owner_of_chat(self, client: str, project: str, chat_id: str) -> OtherNode | None:
        """Return the other node that carries a chat, or did; None if there is none. Raises `StoreError`."""
        key = f"{keys.CHAT_IDS}{keys.project_part(client, project)}:{chat_id}"
        arguments = (keys.CHATS_OPEN, keys.LEASE, self.epoch)
        return await self._find(FIND_CHAT_OWNER.command((key, keys.NODES), *arguments))

    def others(self) -> list[OtherNode]:
        """Return all other nodes, dead ones too until they are taken over."""
        fleet = self._fleet
        return [OtherNode(node.epoch, node.url, has_lease=fleet.has_lease(node.epoch)) for node in fleet.others]

    async def all(self) -> list[NodeReport]:
        """Return all nodes, this one first. While Redis does not respond, they are those that it had before."""
        this = Listed(self.epoch, self._lease.node_id, self._lease.url)
        nodes = [this, *self._fleet.others]
        commands = [("HMGET", keys.LEASE + node.id, *_SHOWN) for node in nodes]
        leases: Sequence[Any] = [None] * len(nodes)
        with suppress(StoreError):
            leases = await self._redis.run(commands, seconds=REDIS_SECONDS)
        return [_report(node, lease, is_this=node is this) for node, lease in zip(nodes, leases, strict=True)]

    async def _find(self, command: Command) -> OtherNode | None:
        (found,) = await self._redis.run([command], seconds=REDIS_SECONDS)
        if isinstance(found, RedisError):
            raise StoreError(f"Redis: {found}") from found
        if not found:
            return None
        epoch, description, holder = found
        return OtherNode(epoch, Listed.read(epoch, description).url, has_lease=epoch == holder)


def _report(node: Listed, lease: object, *, is_this: bool) -> NodeReport:
    """Return a node from the fields of its lease; without a response of Redis they are None or an error."""
    if not isinstance(lease, list):
        return NodeReport(node.id, node.url, "alive" if is_this else "unknown", is_this, None, None)
    epoch, *numbers = lease
    if epoch != node.epoch:
        return NodeReport(node.id, node.url, "lost", is_this, None, None)
    calls, max_calls, draining = (None if number is None else int(number) for number in numbers)
    return NodeReport(node.id, node.url, "draining" if draining else "alive", is_this, calls, max_calls)
