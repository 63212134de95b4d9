"""This bridge as one of several nodes: joins them, renews its lease, probes the others, and takes over the dead."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from sipbridge.aio import cancel_and_wait
from sipbridge.calls.ports.store import CallJournal, Unfinished
from sipbridge.cluster.chat_owners import CarriedChats, ChatOwners
from sipbridge.cluster.claims import Claims
from sipbridge.cluster.controls import NodeControls
from sipbridge.cluster.fleet import Fleet, Renewal
from sipbridge.cluster.lease import RENEWALS_PER_LEASE, Lease, LeaseState
from sipbridge.cluster.open_calls import OpenCalls
from sipbridge.cluster.owners import Owners
from sipbridge.cluster.probes import Probes
from sipbridge.cluster.replication import Replication
from sipbridge.cluster.rescues import Rescues
from sipbridge.cluster.secret import NodeSecret
from sipbridge.cluster.shared_journal import SharedJournal
from sipbridge.cluster.takeover import OpenStore, Recovery, Takeover, TakeoverCounts
from sipbridge.cluster.witnesses import Witnesses
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import ConfigError, StoreError
from sipbridge.http import HttpClient
from sipbridge.store.redis.server import Server
from sipbridge.store.start_wait import StartWait

logger = logging.getLogger(__name__)

_NO_READINESS = {
    LeaseState.RESCUED: "another node has taken over the calls and chats of this one",
    LeaseState.DISPLACED: "another node has the same node.id",
}

# A call of the epoch before may still wait for the store, which alone knows whose record stands.
RESCUE_KNOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The settings of a node. `secret` is shared by all nodes."""

    id: str
    lease_seconds: float
    secret: str
    max_calls: int


class Cluster:
    """The cluster, as this node sees it. Belongs to one event loop; opens its own connections to Redis."""

    def __init__(self, url: RedisUrl, settings: NodeSettings) -> None:
        self.settings = settings
        self._secret = NodeSecret(settings.secret)
        # Each has its own connections: nothing that a claim or a lease waits for may wait for records.
        self._servers = [Server(url), Server(url), Server(url)]
        lease_server, claim_server, call_server = self._servers
        self._redis = lease_server
        # That of the open calls, as their next write must go to the Redis that has responded.
        self._replication = Replication(call_server)
        self.lease = Lease(lease_server, settings.id, settings.lease_seconds, self._secret.mark)
        self.fleet = Fleet(settings.id, settings.lease_seconds)
        self._rescued_at = -math.inf  # when this node last found that it was taken over
        self._renewed_at = 0.0  # by the clock of the day: when the last successful renewal was sent
        self._write_records_again: Callable[[], None] = lambda: None
        self.claims = Claims(
            claim_server,
            self.lease,
            self._may_signal_unclaimed,
            self.may_relay,
            lambda: self._replication.has_replicas,
        )
        self.open_calls = OpenCalls(call_server, self.lease)
        self.probes: Probes | None = None
        self.witnesses = Witnesses(self.lease, self.fleet, self._secret)
        self.chat_owners = ChatOwners(lease_server, self.lease, self.fleet)
        self.owners = Owners(lease_server, self.lease, self.fleet, self._secret, self._respond_to_probe)
        self.takeover_counts = TakeoverCounts()
        self.takeover: Takeover | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._rescues = Rescues(settings.lease_seconds, self._now)

    def on_lost_writes(self, write_records_again: Callable[[], None]) -> None:
        """Set what is called when Redis may have lost its last writes."""
        self._write_records_again = write_records_again

    def journal(self, local: CallJournal) -> SharedJournal:
        """Return the local journal together with the open calls in Redis."""
        return SharedJournal(local, self.open_calls)

    async def join(self, url: str, http: HttpClient, wait: StartWait | None = None) -> None:
        """Become a node that the others reach under `url`. Raises `ConfigError` if it does not fit the others."""
        waiting = wait or StartWait()
        self.probes = Probes(http, self.lease, self.fleet, self._secret, time.monotonic)
        self.witnesses.http = http
        try:
            await waiting.until_it_responds(partial(self._check_others, self.probes))
            await waiting.until_it_responds(partial(self._take_lease, url))
        except StoreError as error:
            raise ConfigError([f"store.url: the node cannot join the others: {error}"]) from error

    async def _take_lease(self, url: str) -> None:
        sent_at, day_time = time.monotonic(), time.time()
        self._note_renewal(await self.lease.join(url), sent_at, day_time)

    def start(self, controls: NodeControls, chats: CarriedChats, open_store: OpenStore, recovery: Recovery) -> None:
        """Renew the lease from now on, take over nodes that die, and take waiting chats."""
        self.takeover = Takeover(
            self._redis,
            self.lease,
            open_store,
            recovery,
            self.chat_owners.release,
            self.witnesses.take,
            self.claims.write_results,
            self.takeover_counts,
        )
        self._tasks = [
            asyncio.create_task(self._repeat(partial(self.turn, controls)), name="node-lease"),
            asyncio.create_task(self._move_chats(controls, chats), name="node-chats"),
        ]
        if self.probes is not None:
            # Apart from the lease, which must not wait for a node that does not respond.
            self._tasks.append(asyncio.create_task(self._repeat(self.probes.send), name="node-probes"))

    @asynccontextmanager
    async def recovering(self, unfinished: Sequence[Unfinished]) -> AsyncIterator[Sequence[Unfinished]]:
        """Return the calls of the local journal for this start's own recovery, which comes before any other node's."""
        if self.takeover is None:
            raise RuntimeError("the cluster was not started")
        async with self.takeover.reserved(self.fleet.former()):
            with suppress(StoreError):
                unfinished = await self.takeover.with_claims(unfinished)
            yield unfinished

    async def stop(self) -> None:
        """Renew and rescue no more. A takeover that is interrupted is done by another node."""
        for task in self._tasks:
            await cancel_and_wait(task)
        await self._rescues.stop()

    async def close(self) -> None:
        """Leave the nodes, and the chats to them. Calls that are open stay for a takeover."""
        await self.claims.write_results()
        await self.open_calls.close()
        with suppress(StoreError):
            await self.chat_owners.release(self.lease.epoch)
        with suppress(StoreError):
            await self.lease.leave()
        for server in self._servers:
            await server.close()

    def _respond_to_probe(self, probe: str) -> str | None:
        if self.probes is None:
            return None
        return self.probes.respond(probe) or self.witnesses.note(probe)

    async def _may_signal_unclaimed(self, call_id: str) -> bool:
        """Return True if the call is ours, no node can take it over just now, and those that could later know of it."""
        is_safe = call_id in self.open_calls and self.fleet.cannot_be_rescued(time.monotonic())
        if not (is_safe and await self.witnesses.notify(call_id)):
            return False
        self.open_calls.write(call_id)  # once Redis is back, any later rescuer knows of the Signal, too
        return True

    async def _check_others(self, probes: Probes) -> None:
        """Check that all nodes share the secret, and that no running one has this id.

        One that runs may have no lease just now, and one that has crashed may have it still: it is replaced.
        """
        nodes = await self.lease.nodes()
        for node in await self.lease.with_lease([node for node in nodes if node.secret_mark != self._secret.mark]):
            raise ConfigError([f"http.pop_link_secret: differs from that of node {node.id}; give all nodes the same"])
        for node in nodes:
            if node.id == self.settings.id and await probes.reach(node.url, node.epoch):
                raise ConfigError([f"node.id: is in use by the node at {node.url}; give each node its own"])

    async def _repeat(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Run a turn again and again, `RENEWALS_PER_LEASE` times per lease if it is not slow."""
        pause = self.settings.lease_seconds / RENEWALS_PER_LEASE
        while True:
            began_at = time.monotonic()
            try:
                await turn()
            except Exception:
                logger.exception("a turn of the node failed", extra={"event": "internal_error"})
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - began_at)))

    async def _move_chats(self, controls: NodeControls, chats: CarriedChats) -> None:
        """Take or release chats, as often as the lease is renewed, and at once if `chat_owners` is woken."""
        while True:
            try:
                await self.chat_owners.turn(chats, draining=controls.draining)
            except StoreError as error:
                logger.debug("chats not moved: %s", error)
            except Exception:
                logger.exception("a move of chats failed", extra={"event": "internal_error"})
            await self.chat_owners.wait(self.settings.lease_seconds / RENEWALS_PER_LEASE)

    def may_be_rescued(self) -> bool:
        """True if another node may have taken over calls of this one, also just before the present epoch."""
        now = time.monotonic()
        return now - self._rescued_at < RESCUE_KNOWN_SECONDS or not self.fleet.cannot_be_rescued(now)

    def may_relay(self) -> bool:
        """True if no other node can have taken the chats of this one, so that it may send to CXone for them.

        The other nodes do not count here, as for Signals: one that this node has not seen yet may have taken them. And
        without Redis no chat goes on for long.

        While a virtual machine is paused its monotonic clock may stand still, too. Then the clock of the day shows it
        as soon as it is set right; one that is set ahead for another reason costs the time until the next renewal.
        """
        may_have_lease = self.lease.state in (LeaseState.HELD, LeaseState.AWAY)
        age = max(self.fleet.renewal_age(time.monotonic()), time.time() - self._renewed_at)
        return may_have_lease and age < self.settings.lease_seconds

    async def turn(self, controls: NodeControls) -> None:
        """Renew the lease, do what its state asks for, and take over a dead node."""
        before = self.lease.state
        if before is LeaseState.RESCUED:
            if self._yield(controls):  # one may have come in while the lease was being read
                return
            self.lease.begin_again()
        shown = {"calls": controls.calls, "max_calls": self.settings.max_calls, "draining": int(controls.draining)}
        sent_at, day_time, why = time.monotonic(), time.time(), ""
        try:
            seen, is_new = await self.lease.renew(shown, [ward.listed for ward in self.fleet.wards])
        except StoreError as error:
            why = str(error)
        else:
            if self.lease.state is LeaseState.HELD:
                self._note_renewal(seen, sent_at, day_time)
            if is_new and before is not LeaseState.NEW:
                self._write_again()
        if self.lease.state is not before:
            self._changed(controls, why)
        controls.withhold_readiness(self._obstacle())
        self._rescue_dead()
        if self.lease.state is LeaseState.HELD:
            with suppress(StoreError):  # the next turn does it
                await self.witnesses.write(self._redis)
        await self._watch_replication()

    def _note_renewal(self, seen: Renewal, sent_at: float, day_time: float) -> None:
        self.fleet.renewed(seen, sent_at, time.monotonic())
        self._renewed_at = day_time

    def _obstacle(self) -> str | None:
        """Return why this node must take no new calls."""
        if self.lease.state is LeaseState.AWAY and not self.fleet.cannot_be_rescued(time.monotonic()):
            return "neither Redis nor all nodes that watch it see this one"
        return _NO_READINESS.get(self.lease.state)

    def _changed(self, controls: NodeControls, why: str) -> None:
        state = self.lease.state
        detail = f": {why}" if why else ""
        logger.warning("lease %s%s", state.value, detail, extra={"event": "lease_changed", "state": state.value})
        if state is LeaseState.RESCUED:
            self._yield(controls)

    def _yield(self, controls: NodeControls) -> bool:
        """Leave calls and chats to the rescuer of this node; return True until they have ended here.

        Calls that began while Redis was away are not known to it, and go on.
        """
        self._rescued_at = time.monotonic()
        self.open_calls.forget()
        taken = controls.end_taken_over(self.open_calls)
        self.claims.give_up(taken)
        return bool(taken or controls.chats)

    async def _watch_replication(self) -> None:
        with suppress(StoreError):
            if await self._replication.watch():
                self._write_again()

    def _write_again(self) -> None:
        """Write what Redis may have lost."""
        self.open_calls.write_all()
        self._write_records_again()

    def _rescue_dead(self) -> None:
        if self.takeover is not None and self.lease.state is LeaseState.HELD:
            self._rescues.begin(self.takeover, self.fleet.dead(self._now()))

    def _now(self) -> float:
        return time.monotonic()
