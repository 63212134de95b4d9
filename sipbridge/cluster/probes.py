"""The probes between nodes: each asks each other one for `/healthz`, and says when it last had a response.

A node that Redis has cut off learns from them that no other node can take it for dead (fleet.py). So what a probe says
is signed with a key that is made from `http.pop_link_secret`, which all nodes share: no other program can say it.

Invariant: a response counts only if it names the epoch that was asked, and a node counts as having heard us only from
the time at which it says that it had our response, never from the arrival of its request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipbridge.cluster.fleet import Fleet, Listed
from sipbridge.cluster.lease import Lease
from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import HttpError
from sipbridge.http import HttpClient
from sipbridge.http.node_headers import NODE, PROBE

PROBE_SECONDS = 2.0  # less than a lease: a node that stands still must not delay the next probes of others
_PARTS = 4


class Probes:
    """The probes of one node, sent and received. `clock` returns monotonic seconds."""

    def __init__(
        self, http: HttpClient, lease: Lease, fleet: Fleet, secret: NodeSecret, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._lease = lease
        self._fleet = fleet
        self._secret = secret
        self._clock = clock
        self._seconds = min(PROBE_SECONDS, lease.seconds / 2)
        self._reached_at: dict[str, float] = {}

    async def send(self) -> None:
        """Ask all other nodes once, at the same time."""
        peers = [peer.listed for peer in self._fleet.peers if peer.listed.url]
        self._reached_at = {peer.epoch: at for peer in peers if (at := self._reached_at.get(peer.epoch)) is not None}
        await asyncio.gather(*map(self._ask, peers))

    async def reach(self, url: str, epoch: str) -> bool:
        """Ask one node; return True if it responds and is that epoch."""
        headers = {PROBE: self._sign(epoch)}
        try:
            response = await self._http.request("GET", f"{url}/healthz", headers=headers, seconds=self._seconds)
        except HttpError:
            return False
        return response.status == 200 and response.headers.get(NODE.lower().encode()) == epoch  # noqa: PLR2004 (OK)

    def respond(self, probe: str) -> str | None:
        """Take note of a probe that has come; return what the response says, or None if it is not one for us."""
        parts = probe.split(" ")
        if len(parts) != _PARTS or not self._secret.verifies(parts[3], "probe", *parts[:3]):
            return None
        asking, asked, age = parts[:3]
        if asked != self._lease.epoch:
            return None
        if age != "-":
            self._fleet.heard(asking, self._clock() - float(age))
        return self._lease.epoch

    async def _ask(self, peer: Listed) -> None:
        sent_at = self._clock()
        if await self.reach(peer.url, peer.epoch):
            self._reached_at[peer.epoch] = sent_at
            self._fleet.reached(peer.epoch, self._clock())

    def _sign(self, asked: str) -> str:
        reached_at = self._reached_at.get(asked)
        age = "-" if reached_at is None else f"{max(0.0, self._clock() - reached_at):.3f}"
        return f"{self._lease.epoch} {asked} {age} {self._secret.sign('probe', self._lease.epoch, asked, age)}"
