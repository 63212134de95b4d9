"""The other nodes, as this node sees them: who is dead, and who could believe that this node is.

The nodes in Redis form a ring, in the order of their epochs. Only the next `RESCUERS` nodes after a node watch it and
may take it over: they are its rescuers, and it is a ward of each. So the work of a node does not grow with the number
of all nodes. A dead node leaves the ring with its takeover, and then the ring closes up: others become the rescuers of
those before it.

Invariant: a node counts as dead only after a rescuer has seen no sign of life of it for two lease times without a gap,
by its own monotonic clock, while its own renewals succeeded. Signs of life are a renewal of the lease that was not seen
before, a response to a probe, and that the node has become a ward just now.

So a node knows for how long it cannot be rescued: one lease time after a renewal of its own, and one lease time after
each of its rescuers has had its response. That is half of what a rescuer must wait, which leaves the other half for
delays. A node without Redis does not see the ring change. So what a rescuer says counts only under two conditions:

- It cannot be rescued itself, or all others are rescuers of this node, so that none can follow it. In a larger ring it
  stops saying it a whole lease time before its takeover can begin, and the node that follows it waits for two more.
- Its ring has the same rescuers of this node. So it stops saying it once it sees another node join between them.

Nodes without Redis that all vouch only while others vouch for them would never begin again after a break of one lease
time. A ring of up to `RESCUERS` + 1 nodes does; a larger one waits for Redis.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

RESCUERS = 8  # that many may die at once, and the next one still takes over what they leave


class Listed(NamedTuple):
    """An entry among the nodes in Redis. `secret_mark` differs between nodes that do not share the secret."""

    epoch: str
    id: str
    url: str
    secret_mark: str = ""

    @classmethod
    def read(cls, epoch: str, description: str) -> Listed:
        """Return a node from the parts in Redis."""
        known: Mapping[str, str] = json.loads(description)
        return cls(epoch, known["id"], known["url"], known.get("secret", ""))


class SeenLease(NamedTuple):
    """The lease of another node: the number of its last renewal, and true if it drains."""

    renewal: str
    drains: bool = False


class Renewal(NamedTuple):
    """The findings of a renewal of this node's lease: its own epoch, all other nodes, and the leases of its wards.

    A ward without a lease has None. One that was not asked for yet, as it is new in the ring, is missing.
    """

    epoch: str
    others: Sequence[Listed]
    leases: Mapping[str, SeenLease | None]


class Waiting(NamedTuple):
    """The numbers of calls that a takeover has left open: of projects that are not known here, and without a Signal."""

    without_project: int = 0
    without_signal: int = 0


@dataclass(slots=True)
class Ward:
    """Another node that this one may have to rescue. Times are seconds of the monotonic clock.

    `alive_at` is that of its last sign of life; `was_seen` is true if there was one but that it became a ward, unless a
    time in which this node saw nothing has followed. `waiting` are the calls that the last takeover of it here has
    left, and until `again_at` others are first. `lease` is None without one; `lease_is_known` is false until Redis was
    asked.
    """

    listed: Listed
    alive_at: float
    was_seen: bool = False
    waiting: Waiting = field(default_factory=Waiting)
    again_at: float = float("-inf")
    lease: SeenLease | None = None
    lease_is_known: bool = False

    @property
    def lost_lease(self) -> bool:
        """True if it has no lease, so that it is dead or cut off."""
        return self.lease_is_known and self.lease is None


class Fleet:
    """The other nodes of the node with this id. It has no clock: each method gets the time.

    An earlier run of the same id is among them, since its calls must be taken over too.
    """

    def __init__(self, own_id: str, lease_seconds: float) -> None:
        self._own_id = own_id
        self._lease_seconds = lease_seconds
        self._own_epoch = ""
        self._listed: Sequence[Listed] = ()
        self._ring: list[str] = []
        self._wards: dict[str, Ward] = {}
        # By epoch of each rescuer: when it last had a response of this node, as far as this node knows.
        self._heard_at: dict[str, float] = {}
        self._rescuers_mark = ""
        self._renewed_at = float("-inf")

    def renewal_age(self, now: float) -> float:
        """Return how long ago this node renewed its lease, in seconds."""
        return now - self._renewed_at

    @property
    def others(self) -> Sequence[Listed]:
        """The other nodes that must be taken over if they die."""
        return self._listed

    @property
    def wards(self) -> list[Ward]:
        """Those of them that this node watches."""
        return list(self._wards.values())

    @property
    def rescuers(self) -> list[Listed]:
        """The nodes that may take this one over, as far as it knows. An earlier run of its own never does."""
        return [node for node in self._listed if node.epoch in self._heard_at and node.id != self._own_id]

    @property
    def has_successor(self) -> bool:
        """True if another node is alive and does not drain, so that it can take chats. Only wards are asked."""
        return any(ward.lease and not ward.lease.drains for ward in self._wards.values())

    @property
    def has_lost(self) -> bool:
        """True if a ward has no lease."""
        return any(ward.lost_lease for ward in self._wards.values())

    def has_lease(self, epoch: str) -> bool:
        """False if another node is known to have no lease."""
        ward = self._wards.get(epoch)
        return ward is None or not ward.lost_lease

    def former(self) -> list[Listed]:
        """Return the earlier runs of this node that left calls open."""
        return [node for node in self._listed if node.id == self._own_id]

    def renewed(self, seen: Renewal, sent_at: float, now: float) -> None:
        """Note that this node has renewed its lease, by a request of `sent_at`, and what that has shown."""
        if sent_at - self._renewed_at > self._lease_seconds:
            # This node saw nothing meanwhile: Redis was away, or the process stood still.
            # A ward may have been dead for as long, and its calls over.
            for ward in self._wards.values():
                ward.was_seen &= now - ward.alive_at <= self._lease_seconds
                ward.alive_at = now
        self._renewed_at = sent_at
        if (seen.epoch, seen.others) != (self._own_epoch, self._listed):
            self._take_place(seen.epoch, seen.others, now)
        for epoch, lease in seen.leases.items():
            if ward_of := self._wards.get(epoch):
                self._note_lease(ward_of, lease, now)

    def reached(self, epoch: str, now: float) -> None:
        """Note that a node has responded to a probe."""
        if ward := self._wards.get(epoch):
            ward.alive_at, ward.was_seen = now, True

    def heard(self, epoch: str, at: float, rescuers_mark: str) -> None:
        """Note that a node had a response of this node at that time, and which rescuers of it that node knows."""
        if epoch in self._heard_at and rescuers_mark == self._rescuers_mark:
            self._heard_at[epoch] = max(at, self._heard_at[epoch])

    def rescuers_mark(self, epoch: str) -> str:
        """Return a text that differs between different rescuers of a node, and if others could follow them."""
        rescuers = " ".join((*self._neighbours(epoch, 1), *(["..."] if self._can_be_followed else [])))
        return hashlib.blake2b(rescuers.encode(), digest_size=8).hexdigest()

    def dead(self, now: float) -> list[Ward]:
        """Return the wards that count as dead, and that this node may try to take over now."""
        if now - self._renewed_at > self._lease_seconds:
            return []
        silence = 2 * self._lease_seconds
        silent = (ward for ward in self._wards.values() if ward.lost_lease and now - ward.alive_at >= silence)
        return [ward for ward in silent if now >= ward.again_at]

    def cannot_be_rescued(self, now: float) -> bool:
        """True if no other node can believe that this node is dead, though Redis may be away."""
        if now - self._renewed_at < self._lease_seconds:
            return True
        former = {node.epoch for node in self.former()}
        return all(now - at < self._lease_seconds for epoch, at in self._heard_at.items() if epoch not in former)

    def may_vouch(self, now: float) -> bool:
        """True if no node that is not a rescuer of a ward yet can take the place of this one."""
        return not self._can_be_followed or self.cannot_be_rescued(now)

    @property
    def _can_be_followed(self) -> bool:
        """True if the ring has nodes that are not rescuers of a node, but would be once one of these has left."""
        return len(self._listed) > RESCUERS

    def _take_place(self, own_epoch: str, others: Sequence[Listed], now: float) -> None:
        """Find the neighbours in a ring that has changed."""
        self._own_epoch, self._listed = own_epoch, others
        nodes = {node.epoch: node for node in others}
        self._ring = sorted({own_epoch, *nodes})
        known, heard_at = self._wards, self._heard_at
        self._wards = {epoch: known.get(epoch) or Ward(nodes[epoch], now) for epoch in self._neighbours(own_epoch, -1)}
        self._heard_at = {epoch: heard_at.get(epoch, float("-inf")) for epoch in self._neighbours(own_epoch, 1)}
        self._rescuers_mark = self.rescuers_mark(own_epoch)

    def _note_lease(self, ward: Ward, lease: SeenLease | None, now: float) -> None:
        is_renewed = lease and (ward.lease is None or lease.renewal != ward.lease.renewal or not ward.was_seen)
        if is_renewed:
            ward.alive_at, ward.was_seen = now, True
        ward.lease, ward.lease_is_known = lease, True

    def _neighbours(self, epoch: str, step: int) -> list[str]:
        """Return the `RESCUERS` epochs after (`step` 1) or before (-1) one in the ring, the nearest first."""
        ring = self._ring
        at = bisect_left(ring, epoch)
        return [ring[(at + step * distance) % len(ring)] for distance in range(1, min(RESCUERS, len(ring) - 1) + 1)]
