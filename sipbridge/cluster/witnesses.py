"""Signals without a claim: while Redis does not respond, a node notifies its rescuers before it sends one.

Redis gets the Signal with the open calls, once it responds (open_calls.py). If it does not, since the node is cut off
for good or dies before that, a rescuer finds the call among the open ones, without a Signal and without a claim.
So each rescuer also writes to Redis what it was notified of, with its next renewal that succeeds: nodes may become
rescuers later, and they wait for much longer than that.

Invariant: a Signal without a claim is sent only after each node that may take this one over knows of it, so none of
them signals that contact. A rescuer that has begun to take a node over notes nothing more of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from sipbridge.cluster.fleet import Fleet, Listed
from sipbridge.cluster.lease import LONGEST_PAUSE_MS, REDIS_SECONDS, Commands, Lease
from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import HttpError, StoreError
from sipbridge.http import HttpClient
from sipbridge.http.node_headers import NODE, PROBE
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import Command
from sipbridge.store.redis.server import first_error

NOTIFY_SECONDS = 0.3  # the caller waits for it
_PARTS = 5


class Witnesses:
    """The rescuers of this node, and what it knows as a rescuer itself. `http` is set once the node has joined."""

    def __init__(self, lease: Lease, fleet: Fleet, secret: NodeSecret) -> None:
        self.http: HttpClient | None = None
        self._lease = lease
        self._fleet = fleet
        self._secret = secret
        self._signalled: dict[str, set[str]] = {}  # calls, by epoch
        self._taken: set[str] = set()
        self._unwritten: set[tuple[str, str]] = set()  # epochs and calls of which Redis does not know yet

    async def notify(self, call_id: str) -> bool:
        """Notify all rescuers that the Signal of a call is about to be sent; return True if all have noted it."""
        rescuers = self._fleet.rescuers
        noted = await asyncio.gather(*(self._notify(rescuer, call_id) for rescuer in rescuers))
        return all(noted)

    def note(self, message: str) -> str | None:
        """Note a Signal of another node; return the text of the response, or None if this is not its rescuer."""
        parts = message.split(" ")
        if len(parts) != _PARTS or not self._secret.verifies(parts[-1], "unclaimed", *parts[:-1]):
            return None
        sender, asked, call_id, rescuers_mark = parts[:-1]
        is_ward = sender in {ward.listed.epoch for ward in self._fleet.wards} and sender not in self._taken
        if asked != self._lease.epoch or not is_ward or rescuers_mark != self._fleet.rescuers_mark(sender):
            return None
        self._forget_former()
        self._signalled.setdefault(sender, set()).add(call_id)
        self._unwritten.add((sender, call_id))
        return f"{asked} {call_id}"

    def take(self, epoch: str) -> AbstractSet[str]:
        """Return the calls that a node has signalled without a claim, as it is being taken over; note no more of it."""
        self._taken.add(epoch)
        return self._signalled.get(epoch, frozenset())

    async def write(self, redis: Commands) -> None:
        """Write what was noted to Redis, for the nodes that become rescuers later. Raises `StoreError`."""
        if not self._unwritten:
            return
        self._forget_former()
        unwritten = sorted(self._unwritten)
        commands: list[Command] = [("SADD", keys.UNCLAIMED + epoch, call_id) for epoch, call_id in unwritten]
        commands += [("PEXPIRE", keys.UNCLAIMED + epoch, LONGEST_PAUSE_MS) for epoch in {each[0] for each in unwritten}]
        if error := first_error(await redis.run(commands, seconds=REDIS_SECONDS)):
            raise StoreError(f"Redis: {error}")
        self._unwritten.difference_update(unwritten)

    async def _notify(self, rescuer: Listed, call_id: str) -> bool:
        if self.http is None:
            return False
        parts = (self._lease.epoch, rescuer.epoch, call_id, self._fleet.rescuers_mark(self._lease.epoch))
        headers = {PROBE: " ".join((*parts, self._secret.sign("unclaimed", *parts)))}
        try:
            response = await self.http.request("GET", f"{rescuer.url}/healthz", headers=headers, seconds=NOTIFY_SECONDS)
        except HttpError:
            return False
        return response.headers.get(NODE.lower().encode(), "") == f"{rescuer.epoch} {call_id}"

    def _forget_former(self) -> None:
        """Forget the nodes that have left, or were taken over."""
        present = {node.epoch for node in self._fleet.others}
        self._taken &= present
        for epoch in self._signalled.keys() - present:
            del self._signalled[epoch]
        self._unwritten = {each for each in self._unwritten if each[0] in present}
