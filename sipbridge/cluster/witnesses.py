"""Signals without a claim: while Redis does not respond, a node notifies its rescuers before it sends one.

Redis gets the Signal with the open calls, once it responds (open_calls.py). If it does not, since the node is cut off
for good or dies before that, a rescuer finds the call among the open ones, without a Signal and without a claim.

Invariant: a Signal without a claim is sent only after each node that may take this one over knows of it, so none of
them signals that contact. A rescuer that has begun to take a node over notes nothing more of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from sipbridge.cluster.fleet import Fleet, Listed
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import HttpError
from sipbridge.http import HttpClient
from sipbridge.http.node_headers import NODE, PROBE

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
        return f"{asked} {call_id}"

    def take(self, epoch: str) -> AbstractSet[str]:
        """Return the calls that a node has signalled without a claim, as it is being taken over; note no more of it."""
        self._taken.add(epoch)
        return self._signalled.get(epoch, frozenset())

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
