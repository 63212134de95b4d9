"""The takeover of a node that counts as dead: its calls get their Signals from this node, and its chats go on.

| step | in Redis | if this node dies here |
|---|---|---|
| 1 | `take_rescue`: a mark for good; this epoch is the rescuer for one lease time after each renewal | another begins |
| 2 | the chats wait for any node, this one too (chat_owners.py) | as after 1 |
| 3 | a new term, under which the records are written | |
| 4 | the open calls are read, and the claims of their Signals | |
| 5 | each call is recovered as after a restart: claim, Signal, record; then its entry is removed | as after 1 |
| 6 | `end_rescue`: the dead epoch is no longer among the nodes; the mark remains | done |

Invariant: at most one epoch rescues another. Nothing depends on it but the records: the claims decide who signals, so
two rescuers, or a rescuer and an owner that wakes up, still send one Signal per contact. The owner cannot claim or
begin a chat from step 1 on, and never becomes `HELD` again, even if its rescuer dies. Its records are refused from step
5 on, since its term is older.

A change of the configuration reaches the nodes one after another. So a call that needs a Signal, and whose project this
node does not have, stays open for a while: any rescuer takes it that has the project, this one too after a reload. So
does a call whose Signal does not reach CXone from here, since it may from another node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from redis.exceptions import RedisError

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.cluster.fleet import Listed, Waiting
from sipbridge.cluster.lease import LONGEST_PAUSE_MS, REDIS_SECONDS, Commands, Lease
from sipbridge.cluster.rescue_journal import RescueJournal
from sipbridge.errors import StoreError
from sipbridge.store.calls import rows
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import END_RESCUE, TAKE_RESCUE, Command

logger = logging.getLogger(__name__)

READ_SECONDS = 5.0  # for all open calls of a node

# How long calls may wait for a node that has their project and reaches CXone, from the last sign of life of their own.
# A configuration reaches all nodes within that; a caller hardly waits for longer.
WAIT_SECONDS = 300.0

# Opens a store with a term of its own. Raises `ConfigError`.
OpenStore = Callable[[], Awaitable[RecordStore]]
# Lets the chats of an epoch wait for another owner, and returns their number.
ReleaseChats = Callable[[str], Awaitable[int]]
# Returns the calls that an epoch which is being taken over has signalled without a claim.
Unclaimed = Callable[[str], AbstractSet[str]]
# Returns once Redis has the results of this node's claims, if it responds.
SettleClaims = Callable[[], Awaitable[None]]


class Recovery(Protocol):
    """The recovery of the calls of a dead node by this one."""

    def has_project(self, record: CallRecord) -> bool:
        """True if the configuration has the project of a call, without which it cannot be signalled."""

    async def recover(
        self, calls: Sequence[Unfinished], journal: CallJournal, store: RecordStore, *, may_be_old: bool, may_wait: bool
    ) -> int:
        """Recover calls with this journal and this store. `may_be_old` is true if they may have ended long ago.

        If they `may_wait`, those whose Signal does not arrive are left open; return their number.
        """


@dataclass(slots=True)
class TakeoverCounts:
    """The takeovers so far, and the calls in them."""

    nodes: int = 0
    calls: int = 0


class Takeover:
    """The takeover of dead nodes, of several at once; and the reservation of those that this start recovers itself."""

    def __init__(
        self,
        redis: Commands,
        lease: Lease,
        open_store: OpenStore,
        recovery: Recovery,
        release_chats: ReleaseChats,
        unclaimed: Unclaimed,
        settle_claims: SettleClaims,
        counts: TakeoverCounts,
    ) -> None:
        self._counts = counts
        self._release_chats = release_chats
        self._unclaimed = unclaimed
        self._settle_claims = settle_claims
        self._reserved: set[str] = set()
        self._redis = redis
        self._lease = lease
        self._open_store = open_store
        self._recovery = recovery

    async def run(self, dead: Listed, *, may_be_old: bool = True, may_wait: bool = False) -> Waiting | None:
        """Take over a node; return None if another one does.

        Raises `StoreError` if Redis fails, or the `ConfigError` of `open_store`; then try again.

        `may_be_old` is false if this node has seen it alive, so that its calls were in progress a moment ago. If they
        `may_wait`, those are left open whose project is unknown here, or whose Signal does not arrive. Then another
        node may go on; try again later.
        """
        if dead.epoch in self._reserved or await self._take(dead) != "taken":
            return None
        keeping = asyncio.create_task(self._keep(dead))
        try:
            return await self._rescue(dead, may_be_old=may_be_old, may_wait=may_wait)
        finally:
            keeping.cancel()

    @asynccontextmanager
    async def reserved(self, former: Sequence[Listed]) -> AsyncIterator[None]:
        """Reserve earlier runs of this node for its own recovery, which knows more, from its journal.

        One that another node is taking over is waited for; then its records are final.
        """
        self._reserved.update(each.epoch for each in former)
        keeping: list[asyncio.Task[None]] = []
        try:
            for each in former:
                await self._reserve(each)
                keeping.append(asyncio.create_task(self._keep(each)))
                with suppress(StoreError):  # then the end of its takeover does it
                    await self._release_chats(each.epoch)
            yield
        finally:
            for task in keeping:
                task.cancel()
            self._reserved.clear()

    async def with_claims(self, calls: Sequence[Unfinished]) -> list[Unfinished]:
        """Return the calls, each with what its claim says about its Signal, and with what was announced of it.

        Raises `StoreError`.
        """
        records = [call.record for call in calls]
        known = await self._run(
            *(("HMGET", keys.claim(record.client, record.call_id), "epoch", "result") for record in records),
            *(("HGET", keys.begun(record.client, record.project, record.call_id), "body") for record in records),
            seconds=READ_SECONDS,
        )
        claims, announced = known[: len(calls)], known[len(calls) :]
        return [
            _with_announcement(_with_claim(call, *claim), body)
            for call, claim, body in zip(calls, claims, announced, strict=True)
        ]

    async def _reserve(self, former: Listed) -> None:
        """Return once this node has the rescue, or nothing is left to rescue, or Redis does not say."""
        while True:
            try:
                state = await self._take(former)
            except StoreError:
                return
            if state in ("taken", "gone"):
                return
            await asyncio.sleep(self._lease.seconds / 5)

    async def _rescue(self, dead: Listed, *, may_be_old: bool, may_wait: bool) -> Waiting:
        fields = {"event": "node_takeover", "node": dead.id, "epoch": dead.epoch}
        journal = RescueJournal(self._redis, dead.epoch)
        await self._release_chats(dead.epoch)
        found = await self._open_calls(dead, journal)
        calls = self._ready(found) if may_wait else found
        without_project, without_signal = len(found) - len(calls), 0
        if calls or not without_project:
            logger.warning("node %s counts as dead: taking over %d calls", dead.id, len(calls), extra=fields)
            store = await self._open_store()
            try:
                without_signal = await self._recovery.recover(
                    calls, journal, store, may_be_old=may_be_old, may_wait=may_wait
                )
            finally:
                await store.close()
        await journal.close()
        await self._settle_claims()  # the next rescuer takes a claim only if that Signal certainly did not arrive
        self._counts.calls += journal.completed
        if await self._end(dead) == "ended":
            self._counts.nodes += 1
            logger.warning("node %s is taken over", dead.id, extra=fields | {"event": "node_taken_over"})
        return Waiting(without_project, without_signal)

    def _ready(self, calls: Sequence[Unfinished]) -> Sequence[Unfinished]:
        """Return the calls without those that need a Signal, and whose project is unknown here.

        The other calls of a contact that is signalled now are ready as well: they need none any more.
        """
        unsignalled = [call.record for call in calls if call.needs_signal]
        known = {record.call_id for record in unsignalled if self._recovery.has_project(record)}
        contacts = {(record.client, record.contact_id) for record in unsignalled if record.call_id in known}
        waiting = {
            record.call_id
            for record in unsignalled
            if record.call_id not in known and (record.client, record.contact_id) not in contacts
        }
        return [call for call in calls if call.record.call_id not in waiting]

    async def _open_calls(self, dead: Listed, journal: RescueJournal) -> list[Unfinished]:
        """Return the open calls, by their entries and claims. One whose entries cannot be read is given up."""
        found, shared = await self._run(
            ("HGETALL", keys.OPEN_CALLS + dead.epoch), ("SMEMBERS", keys.UNCLAIMED + dead.epoch), seconds=READ_SECONDS
        )
        calls: list[Unfinished] = []
        for call_id, lines in found.items():
            call = entries.read_call(lines.encode())
            if call is None:
                journal.stored(call_id)
            else:
                journal.found(call_id, lines)
                calls.append(call)
        return _with_unclaimed(await self.with_claims(calls), {*self._unclaimed(dead.epoch), *shared})

    async def _take(self, dead: Listed) -> str:
        key = (keys.RESCUER + dead.epoch, keys.RESCUE + dead.epoch, keys.LEASE + dead.id, keys.NODES)
        milliseconds = round(self._lease.seconds * 1000)
        command = TAKE_RESCUE.command(key, dead.epoch, self._lease.epoch, milliseconds, LONGEST_PAUSE_MS)
        (state,) = await self._run(command)
        return str(state)

    async def _keep(self, dead: Listed) -> None:
        """Keep the rescue. If Redis is away for longer than a lease, another node may go on; claims bear that."""
        while True:
            await asyncio.sleep(self._lease.seconds / 5)
            try:
                await self._take(dead)
            except StoreError as error:
                logger.debug("rescue not renewed: %s", error)

    async def _end(self, dead: Listed) -> str:
        left = (prefix + dead.epoch for prefix in (keys.OPEN_CALLS, keys.CHATS_OPEN, keys.CHATS_UNDELIVERED))
        ended = (prefix + dead.epoch for prefix in (keys.OPEN_CALLS_WRITE, keys.UNCLAIMED))
        key = (keys.RESCUER + dead.epoch, keys.RESCUE + dead.epoch, keys.NODES, keys.NODES_CHANGE, *left, *ended)
        (state,) = await self._run(END_RESCUE.command(key, dead.epoch, self._lease.epoch, LONGEST_PAUSE_MS))
        return str(state)

    async def _run(self, *commands: Command, seconds: float = REDIS_SECONDS) -> list[Any]:
        if not commands:
            return []
        results = await self._redis.run(commands, seconds=seconds)
        for result in results:
            if isinstance(result, RedisError):
                raise StoreError(f"Redis: {result}") from result
        return results


def _with_claim(call: Unfinished, epoch: str | None, result: str | None) -> Unfinished:
    """Return the call with the Signal of its claim: one without a result may have arrived."""
    if epoch is None or result == SignalResult.UNDELIVERED:
        return call
    return replace(call, signal=SignalResult(result) if result else SignalResult.UNKNOWN)


def _with_unclaimed(calls: Sequence[Unfinished], unclaimed: AbstractSet[str]) -> list[Unfinished]:
    """Return the calls, of which these were signalled without a claim.

    Redis was away then. If it does not know such a Signal yet, nor does it know which others this one withholds: those
    of the same contact.
    """
    unknown = [call.record for call in calls if call.signal is None and call.record.call_id in unclaimed]
    signalled = {record.call_id for record in unknown}
    contacts = {(record.client, record.contact_id) for record in unknown}

    def known(call: Unfinished) -> Unfinished:
        if call.record.call_id in signalled:
            return replace(call, signal=SignalResult.UNKNOWN)
        if call.needs_signal and (call.record.client, call.record.contact_id) in contacts:
            return replace(call, signal=SignalResult.DUPLICATE)
        return call

    return [known(call) for call in calls]


def _with_announcement(call: Unfinished, body: str | None) -> Unfinished:
    """Return the call with what followed its entry, from its announcement: its answer, and the begin of its handoff."""
    if body is None or call.record.handoff is not None:
        return call
    with suppress(StoreError):  # not valid
        announced = rows.to_record(body)
        answered_at = call.record.answered_at or announced.answered_at
        transcript = max(call.record.transcript, announced.transcript, key=len)
        record = call.record.changed(answered_at=answered_at, handoff=announced.handoff, transcript=transcript)
        return replace(call, record=record)
    return call
