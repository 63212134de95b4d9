"""The claims of Signals: which node may signal the contact of a call.

| claim in Redis | what becomes of it | response |
|---|---|---|
| none | it becomes ours | send |
| ours | it stays ours, for another attempt | send |
| another's, with the result `undelivered` | it becomes ours: that Signal certainly did not arrive | send |
| another's, with any other result or none | it stays theirs, for ever | `duplicate` |
| any, and the call's epoch was rescued | it stays as it is | `undelivered`, so BYE: the rescuer may not know the call |
| not known, as Redis does not respond | no node can rescue the call now, and its rescuers know of the Signal | send |
| not known, as Redis does not respond | another node may be rescuing it | asked for 3 s, then `undelivered`, so BYE |

Invariant: a node sends the first byte of a Signal only while it owns the claim, or while no other node could take it.
CXone's Signal has no idempotency key, so nothing else keeps a process that stood still for a minute from sending.

A caller who is moved without a Signal has no claim. So a node that may have been taken over claims their contact right
before it sends the REFER or the INVITE, without a second try: then no rescuer signals it. Without the claim it sends
BYE. A process that stands still between that look and the first byte moves the caller all the same.

A Signal is in the local journal before it is claimed, so the next start of the same node knows of it too. The record
of the handoff is written with the claim, right before it, so any node can show it once CXone has the Signal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from redis.exceptions import RedisError

from sipbridge.aio import BackgroundTasks
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cluster.lease import LONGEST_PAUSE_MS, REDIS_SECONDS, Commands, Lease
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.call_writer import WaitingPut
from sipbridge.store.redis.scripts import CLAIM_SIGNAL, SETTLE_CLAIM, Command

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 0.3  # the caller waits for it
# A Signal that is late is worth more to a caller than none, so Redis is asked again for so long.
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.2
REPLICA_MS = 200  # of these, for a replica to have the claim too
GATHER_SECONDS = 0.1  # for results, which nothing waits for

_INSTEAD = {"mine": None, "taken": SignalResult.DUPLICATE, "rescued": SignalResult.UNDELIVERED}


@dataclass(slots=True)
class ClaimCounts:
    """The claims so far, by what became of them."""

    mine: int = 0
    taken: int = 0
    unclaimed: int = 0  # sent while Redis was away
    refused: int = 0  # not sent, as this node was cut off
    unreplicated: int = 0  # no replica had the claim in time


class Claims:
    """Implements `SignalClaims`.

    `is_safe` is true for a call that no other node can be rescuing, or will signal if it rescues it later.
    `is_alive` is true if no other node can have taken this one over, which its last renewal shows.
    `has_replicas` is true if Redis has replicas, as without any a claim would wait for one in vain.
    """

    def __init__(
        self,
        redis: Commands,
        lease: Lease,
        is_safe: Callable[[str], Awaitable[bool]],
        is_alive: Callable[[], bool],
        has_replicas: Callable[[], bool],
    ) -> None:
        self.counts = ClaimCounts()
        self._redis = redis
        self._lease = lease
        self._is_safe = is_safe
        self._is_alive = is_alive
        self._has_replicas = has_replicas
        self._attempts = 0
        self._attempt_of: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._waiting_put: Callable[[str], WaitingPut | None] = lambda _: None
        self._results: list[Command] = []
        self._settling = BackgroundTasks()

    async def claim(self, record: CallRecord) -> SignalResult | None:
        """Claim the Signal of a call; return None if it may be sent, and otherwise its result instead."""
        self._attempts += 1
        attempt = self._attempt_of[record.call_id] = self._attempts
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        until = began_at + PATIENCE_SECONDS
        while record.call_id not in self._given_up:
            try:
                state = await self._ask(record, attempt)
                # The lease finds out that this node was taken over, and gives the call up or takes another epoch.
                if state != "rescued" or loop.time() >= began_at + self._lease.seconds:
                    return self._result(record, state)
            except StoreError as error:
                if await self._is_safe(record.call_id):
                    self._note_unclaimed(record, error)
                    return None
                if loop.time() >= until:
                    self._note_refusal(record, error)
                    return SignalResult.UNDELIVERED
            await asyncio.sleep(PAUSE_SECONDS)
        return _INSTEAD["rescued"]

    async def may_transfer(self, record: CallRecord) -> bool:
        """Return True if this node may move a caller whose contact it has not signalled."""
        if record.call_id in self._given_up:
            return False
        if self._is_alive():
            return True
        self._attempts += 1
        try:
            return await self._ask(record, self._attempts) == "mine"
        except StoreError:
            return await self._is_safe(record.call_id)

    async def _ask(self, record: CallRecord, attempt: int) -> str:
        """Return the script's response; the same attempt may ask again. Raises `StoreError`."""
        put = self._waiting_put(record.call_id)
        commands: list[Command] = [
            *([put.command] if put else []),
            CLAIM_SIGNAL.command(
                (keys.claim(record.client, record.call_id), keys.RESCUE + self._lease.epoch),
                *(self._lease.epoch, attempt, LONGEST_PAUSE_MS),
            ),
        ]
        if self._has_replicas():
            commands.append(("WAIT", 1, REPLICA_MS))
        results = await self._redis.run(commands, seconds=CLAIM_SECONDS)
        if put:
            put.settle(results.pop(0))
        state, *replicas = results
        if isinstance(state, RedisError):
            raise StoreError(str(state))
        if replicas == [0]:
            self.counts.unreplicated += 1
        return str(state)

    def _result(self, record: CallRecord, state: str) -> SignalResult | None:
        instead = _INSTEAD[state]
        if instead is None:
            self.counts.mine += 1
        else:
            self.counts.taken += 1
            logger.warning(
                "Signal not sent: another node has the claim", extra={"event": "claim_taken", "call_id": record.call_id}
            )
        return instead

    def settle(self, record: CallRecord, result: SignalResult) -> None:
        """Write the result of a claimed Signal. If that fails, the claim has none, and is never taken."""
        attempt = self._attempt_of.pop(record.call_id, None)
        if attempt is None or result is SignalResult.DUPLICATE:
            return
        claim = (keys.claim(record.client, record.call_id),)
        self._results.append(SETTLE_CLAIM.command(claim, self._lease.epoch, attempt, result.value))
        if result is SignalResult.UNDELIVERED:
            self._start_writing()  # the contact needs another Signal
        elif len(self._results) == 1:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._start_writing)

    def take_puts_along(self, waiting_put: Callable[[str], WaitingPut | None]) -> None:
        """Write with each claim what this function returns for its call."""
        self._waiting_put = waiting_put

    def give_up(self, call_ids: Iterable[str]) -> None:
        """Claim nothing for these calls any more: another node has them."""
        self._given_up = set(call_ids)

    async def write_results(self) -> None:
        """Write the results so far, if Redis responds."""
        self._start_writing()
        await self._settling.wait()

    def _start_writing(self) -> None:
        if self._results:
            results, self._results = self._results, []
            self._settling.start(self._write(results))

    async def _write(self, results: list[Command]) -> None:
        try:
            await self._redis.run(results, seconds=REDIS_SECONDS)
        except StoreError as error:
            logger.debug("results of claims not written: %s", error)

    def _note_unclaimed(self, record: CallRecord, why: StoreError) -> None:
        self.counts.unclaimed += 1
        fields = {"event": "claim_failed", "call_id": record.call_id}
        logger.warning("Signal sent without a claim: %s; the other nodes know of it", why, extra=fields)

    def _note_refusal(self, record: CallRecord, why: StoreError) -> None:
        self.counts.refused += 1
        fields = {"event": "claim_failed", "call_id": record.call_id}
        logger.error("Signal not sent: %s, and another node may be rescuing this one", why, extra=fields)
