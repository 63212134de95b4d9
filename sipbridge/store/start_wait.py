"""The wait of a start for a store that does not respond yet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sipbridge.errors import StoreSilent

# In all. The unit of systemd and the chart for Kubernetes end a start after 60 s, without its reason.
START_WAIT_SECONDS = 45.0
PAUSE_SECONDS = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class StartWait:
    """The time that a start has for a silent Redis: one that fails over, loads its data, or stands still.

    Without `seconds` it has none. `is_stopping` ends the wait.
    """

    def __init__(self, seconds: float = 0.0, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._until = time.monotonic() + seconds
        self._is_stopping = is_stopping

    async def until_it_responds(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the response; ask again while there is none. Raises `StoreSilent` in the end, any other error at once.

        `ask` must bear repetition.
        """
        began_at = time.monotonic()
        waits = False
        while True:
            try:
                response = await ask()
            except StoreSilent as error:
                left = self._until - time.monotonic()
                if left <= 0 or self._is_stopping():
                    raise
                if not waits:
                    waits = True
                    logger.warning("%s; the start waits %.0f s at most", error, left, extra={"event": "start_waits"})
            else:
                if waits:
                    seconds = round(time.monotonic() - began_at, 1)
                    extra = {"event": "start_goes_on", "seconds": seconds}
                    logger.warning("the store responds; the start goes on after %g s", seconds, extra=extra)
                return response
            await asyncio.sleep(PAUSE_SECONDS)
