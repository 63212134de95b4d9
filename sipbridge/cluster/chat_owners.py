"""The owners of chats: which node carries each of them, and how it passes from one node to another.

| state | in Redis | next |
|---|---|---|
| carried | `chats-open:EPOCH` | over; waiting, if its node drains, stops, or counts as dead |
| waiting | `chats-waiting` | carried by a node with a slot, at its next turn |
| over, but its webhook has not got all events | `chats-undelivered:EPOCH` | delivered; waiting as above |

Invariant: a chat has at most one owner. Each passage is one script, which raises the term of the chat. So a former
owner changes nothing in it any more: it accepts no message of the bot, and gives the bot no event.

What a former owner sends to CXone, no script can refuse. So a node that drains or stops ends its part in a chat before
it releases it. And a node that stood still sends nothing for any chat unless no other node can have it (`may_relay` of
`Cluster`). With its next renewal it finds itself taken over, and abandons its chats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import RedisError

from sipbridge.aio import wait_any
from sipbridge.cluster.fleet import Fleet
from sipbridge.cluster.lease import REDIS_SECONDS, Commands, Lease, LeaseState
from sipbridge.errors import StoreError
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import RELEASE_CHATS, TAKE_CHATS, Command

logger = logging.getLogger(__name__)

PAGE = 50  # chats per script: Redis serves no other command meanwhile


class CarriedChats(Protocol):
    """The chats of the bridge, as the cluster moves them."""

    @property
    def slots(self) -> int:
        """The number of chats that the bridge may still take."""

    async def release(self) -> None:
        """End the bridge's part in all chats in progress; return once it sends and accepts nothing for them."""

    async def resume(self, taken: Collection[str] | None) -> None:
        """Go on with the chats with these uids, or with all of this node in the store. Raises `StoreError`."""


@dataclass(slots=True)
class MoveCounts:
    """The chats so far that this node took, and that it released: its own, and those of dead nodes."""

    taken: int = 0
    released: int = 0


class ChatOwners:
    """The chats that this node releases and takes."""

    def __init__(self, redis: Commands, lease: Lease, fleet: Fleet) -> None:
        self.counts = MoveCounts()
        self._redis = redis
        self._lease = lease
        self._fleet = fleet
        self._wake = asyncio.Event()
        # True if chats may be this node's in Redis that it does not carry.
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """True if a chat may be without a node just now, so that a request for it should be sent again."""
        return self._is_behind or self._fleet.has_lost

    def wake(self) -> None:
        """Take the next turn now: a drain has begun."""
        self._wake.set()

    async def wait(self, seconds: float) -> None:
        """Wait for the next turn."""
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await wait_any(waking, timeout=seconds)
        finally:
            waking.cancel()
            self._wake.clear()

    async def turn(self, chats: CarriedChats, *, draining: bool) -> None:
        """Take waiting chats; if the bridge drains, release its own if another node can take them.

        Raises `StoreError`; the next turn goes on.
        """
        if self._lease.state is not LeaseState.HELD:
            return
        if not draining:
            await self._take(chats)
        elif self._fleet.has_successor:
            await chats.release()
            await self.release(self._lease.epoch, also_over=False)

    async def release(self, epoch: str, *, also_over: bool = True) -> int:
        """Let the chats of an owner wait for another one; return the number of those in progress. Raises `StoreError`.

        `also_over` is false for an owner that goes on to deliver the events of the others.
        """
        key = (keys.CHATS_OPEN + epoch, keys.CHATS_UNDELIVERED + epoch, keys.CHATS_WAITING, keys.TERMS)
        released = 0
        while True:
            in_progress, others = await self._run(RELEASE_CHATS.command(key, int(also_over), keys.CHAT, PAGE))
            released += len(in_progress)
            if not in_progress and not others:
                break
        if released:
            self.wake()  # this node may take them itself
            self.counts.released += released
            extra = {"event": "chats_released", "epoch": epoch, "chats": released}
            logger.info("chats released for another node: %d", released, extra=extra)
        return released

    async def _take(self, chats: CarriedChats) -> None:
        while True:
            was_behind, self._is_behind = self._is_behind, True
            taken = await self._run(self._take_command(chats.slots))
            if taken or was_behind:
                # If a response was lost, Redis knows better which chats are this node's.
                await chats.resume(None if was_behind else taken)
            self._is_behind = False
            if not taken:
                return
            self.counts.taken += len(taken)
            logger.info("chats taken: %d", len(taken), extra={"event": "chats_taken", "chats": len(taken)})

    def _take_command(self, slots: int) -> Command:
        epoch = self._lease.epoch
        return TAKE_CHATS.command(
            (
                keys.CHATS_WAITING,
                keys.CHATS_OPEN + epoch,
                keys.CHATS_UNDELIVERED + epoch,
                keys.RESCUE + epoch,
                keys.TERMS,
            ),
            *(max(0, slots), PAGE, keys.CHAT, keys.CHAT_EVENTS),
        )

    async def _run(self, command: Command) -> Any:  # noqa: ANN401 (the response of a script)
        (result,) = await self._redis.run([command], seconds=REDIS_SECONDS)
        if isinstance(result, RedisError):
            raise StoreError(f"Redis: {result}") from result
        return result
