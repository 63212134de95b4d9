"""The other nodes, as this node sees them: who is dead, and who could believe that this node is.

Invariant: a node counts as dead only after this node has seen no sign of life of it for two lease times without a gap,
by its own monotonic clock, while its own renewals succeeded. Signs of life are a renewal of the lease that was not seen
before, and a response to a probe. So a node knows for how long it cannot be rescued: one lease time after a renewal of
its own, and one lease time after each other node has had its response. That is half of what a rescuer must wait, which
leaves the other half for delays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Listed(NamedTuple):
    """An entry among the nodes in Redis. `renewal` is the number of its last renewal, empty if it has no lease.

    `secret_mark` differs between nodes that do not share the secret. `drains` is true if the lease says so.
    """

    epoch: str
    id: str
    url: str
    renewal: str
    secret_mark: str = ""
    drains: bool = False

    @classmethod
    def read(cls, epoch: str, description: str, renewal: str, draining: str = "") -> Listed:
        """Return a node from the parts in Redis."""
        known: Mapping[str, str] = json.loads(description)
        return cls(epoch, known["id"], known["url"], renewal, known.get("secret", ""), draining == "1")


@dataclass(slots=True)
class Peer:
    """Another node. Times are seconds of the monotonic clock.

    `alive_at` is that of its last sign of life, or of the moment from which this node could have seen one; `was_seen`
    is true if there was one. `heard_at` is when it last had a response of this node, as far as this node knows.
    """

    listed: Listed
    alive_at: float
    was_seen: bool = False
    heard_at: float = field(default=float("-inf"))


class Fleet:
    """The other nodes of the node with this id. It has no clock: each method gets the time.

    An earlier run of the same id is among them, since its calls must be taken over too.
    """

    def __init__(self, own_id: str, lease_seconds: float) -> None:
        self._own_id = own_id
        self._lease_seconds = lease_seconds
        self._peers: dict[str, Peer] = {}
        self._renewed_at = float("-inf")

    def renewal_age(self, now: float) -> float:
        """Return how long ago this node renewed its lease, in seconds."""
        return now - self._renewed_at

    @property
    def peers(self) -> list[Peer]:
        """The other nodes that must be taken over if they die."""
        return list(self._peers.values())

    @property
    def has_successor(self) -> bool:
        """True if another node is alive and does not drain, so that it can take chats."""
        return any(peer.listed.renewal and not peer.listed.drains for peer in self._peers.values())

    def former(self) -> list[Listed]:
        """Return the earlier runs of this node that left calls open."""
        return [peer.listed for peer in self._peers.values() if peer.listed.id == self._own_id]

    def renewed(self, others: Iterable[Listed], sent_at: float, now: float) -> None:
        """Note that this node has renewed its lease, by a request of `sent_at`, and which others Redis has."""
        if sent_at - self._renewed_at > self._lease_seconds:
            # This node saw nothing meanwhile: Redis was away, or the process stood still.
            for peer in self._peers.values():
                peer.alive_at = now
        self._renewed_at = sent_at
        before, self._peers = self._peers, {}
        for listed in others:
            peer = self._peers[listed.epoch] = before.get(listed.epoch) or Peer(listed, now)
            if listed.renewal and (listed.renewal != peer.listed.renewal or not peer.was_seen):
                peer.alive_at, peer.was_seen = now, True
            peer.listed = listed

    def reached(self, epoch: str, now: float) -> None:
        """Note that a node has responded to a probe."""
        if peer := self._peers.get(epoch):
            peer.alive_at, peer.was_seen = now, True

    def heard(self, epoch: str, at: float) -> None:
        """Note that a node had a response of this node at that time."""
        if peer := self._peers.get(epoch):
            peer.heard_at = max(at, peer.heard_at)

    def dead(self, now: float) -> list[Peer]:
        """Return the nodes that count as dead."""
        if now - self._renewed_at > self._lease_seconds:
            return []
        silence = 2 * self._lease_seconds
        return [peer for peer in self._peers.values() if not peer.listed.renewal and now - peer.alive_at >= silence]

    def cannot_be_rescued(self, now: float) -> bool:
        """True if no other node can believe that this node is dead, though Redis may be away."""
        if now - self._renewed_at < self._lease_seconds:
            return True
        others = (peer for peer in self._peers.values() if peer.listed.id != self._own_id)
        return all(now - peer.heard_at < self._lease_seconds for peer in others)
