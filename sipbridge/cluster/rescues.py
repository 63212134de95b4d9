"""The takeovers of dead nodes by this one, while they run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from sipbridge.aio import cancel_and_wait
from sipbridge.cluster.fleet import Waiting, Ward
from sipbridge.cluster.lease import RENEWALS_PER_LEASE
from sipbridge.cluster.takeover import WAIT_SECONDS, Takeover
from sipbridge.errors import ConfigError, StoreError

logger = logging.getLogger(__name__)


class Rescues:
    """The takeovers, each on its own: CXone may be down for the calls of one. They are of wards, so few.

    `clock` is that of the wards.
    """

    def __init__(self, lease_seconds: float, clock: Callable[[], float]) -> None:
        # Two turns of a node: the other rescuers have one in that time.
        self._pause = 2 * lease_seconds / RENEWALS_PER_LEASE
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}  # by the epoch that is taken over

    def begin(self, takeover: Takeover, dead: Iterable[Ward]) -> None:
        """Take these nodes over, except those that are being taken over here."""
        self._running = {epoch: task for epoch, task in self._running.items() if not task.done()}
        for ward in dead:
            epoch = ward.listed.epoch
            if epoch not in self._running:
                self._running[epoch] = asyncio.create_task(self._rescue(takeover, ward), name="node-takeover")

    async def stop(self) -> None:
        """Interrupt all. Other nodes go on with them."""
        for task in self._running.values():
            await cancel_and_wait(task)

    async def _rescue(self, takeover: Takeover, ward: Ward) -> None:
        node = ward.listed
        may_wait = self._clock() - ward.alive_at < WAIT_SECONDS
        try:
            waiting = await takeover.run(node, may_be_old=not ward.was_seen, may_wait=may_wait)
        except (StoreError, ConfigError) as error:  # Redis was fit for use at the start, and may be again
            logger.warning("takeover of %s interrupted: %s", node.id, error, extra={"event": "takeover_failed"})
        except Exception:
            logger.exception("takeover of %s failed", node.id, extra={"event": "internal_error"})
        else:
            if waiting is not None:
                self._note_waiting(ward, waiting)

    def _note_waiting(self, ward: Ward, waiting: Waiting) -> None:
        """Log the calls that a takeover has left, once, and let the other rescuers try before this one does again."""
        node, before, ward.waiting = ward.listed, ward.waiting, waiting
        extra = {"event": "node_takeover_waits", "node": node.id, "epoch": node.epoch}
        for calls, known, what in (
            (waiting.without_project, before.without_project, "has their project"),
            (waiting.without_signal, before.without_signal, "reaches CXone"),
        ):
            if calls and not known:
                message = "calls of %s wait for a node that %s: %d"
                logger.warning(message, node.id, what, calls, extra=extra | {"calls": calls})
        if waiting.without_signal:
            ward.again_at = self._clock() + self._pause
