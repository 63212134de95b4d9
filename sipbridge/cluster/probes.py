"""The probes between nodes: each asks its wards for `/healthz`, and says when it last had a response.

A node that Redis has cut off learns from them that none of its rescuers can take it for dead (fleet.py). So what a
probe says is signed with a key that is made from `http.pop_link_secret`, which all nodes share: no other program can
say it.

Invariant: a response counts only if it names the epoch that was asked. A node counts as having heard us only from the
time of our response, by our own clock: a response has it, and the next probe repeats it. So a probe that was read late,
since this process stood still, says nothing that was true before only.
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
_NOTHING = "-"  # for the time of a response: none came, or this node may not vouch for another
_PARTS = 5


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
        self._responded_at: dict[str, str] = {}  # by epoch: the time of its last response, by its clock

    async def send(self) -> None:
        """Ask all wards once, at the same time."""
        wards = [ward.listed for ward in self._fleet.wards if ward.listed.url]
        known = self._responded_at
        self._responded_at = {ward.epoch: known[ward.epoch] for ward in wards if ward.epoch in known}
        await asyncio.gather(*map(self._ask, wards))

    async def reach(self, url: str, epoch: str) -> bool:
        """Ask one node; return True if it responds and is that epoch."""
        return await self._reach(url, epoch) is not None

    async def _reach(self, url: str, epoch: str) -> str | None:
        """Ask one node; return the time of its response, by its clock, or None if it is not that epoch."""
        headers = {PROBE: self._sign(epoch)}
        try:
            response = await self._http.request("GET", f"{url}/healthz", headers=headers, seconds=self._seconds)
        except HttpError:
            return None
        responding, _, at = response.headers.get(NODE.lower().encode(), "").partition(" ")
        return at if response.status == 200 and responding == epoch else None  # noqa: PLR2004 (OK)

    def respond(self, probe: str) -> str | None:
        """Take note of a probe that has come; return what the response says, or None if it is not one for us."""
        parts = probe.split(" ")
        if len(parts) != _PARTS or not self._secret.verifies(parts[-1], "probe", *parts[:-1]):
            return None
        asking, asked, heard_at, rescuers_mark = parts[:-1]
        if asked != self._lease.epoch:
            return None
        if heard_at != _NOTHING:
            self._fleet.heard(asking, float(heard_at), rescuers_mark)
        return f"{self._lease.epoch} {self._clock():.3f}"

    async def _ask(self, ward: Listed) -> None:
        responded_at = await self._reach(ward.url, ward.epoch)
        if responded_at is not None:
            self._responded_at[ward.epoch] = responded_at
            self._fleet.reached(ward.epoch, self._clock())

    def _sign(self, asked: str) -> str:
        heard_at = _NOTHING
        if self._fleet.may_vouch(self._clock()):
            heard_at = self._responded_at.get(asked, _NOTHING)
        parts = self._lease.epoch, asked, heard_at, self._fleet.rescuers_mark(asked)
        return " ".join((*parts, self._secret.sign("probe", *parts)))
