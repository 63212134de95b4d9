"""One core for the event loop and the SIP thread, for as long as it is enough for both.

The two wake each other several times per call. Of two threads with real-time priority, the kernel moves one to another
core as often, where the caches are cold. Since they share Python's lock, they hardly run at the same time anyway.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

REVIEW_SECONDS = 1.0
# Parts of the core that both threads use together. Apart, they use an eighth more.
SPREAD_LOAD = 0.9
SHARE_LOAD = 0.6


class SharedCore:
    """Moves threads to one core, and lets them use all again while they are busy or must not wait.

    They must have real-time priority: other programs on that core would hold up all of them. `urgent` is true while
    they must not wait for each other, nor for programs with a higher priority that use the core.
    """

    def __init__(self, threads: Sequence[threading.Thread], urgent: Callable[[], bool]) -> None:
        self._ids = [thread.native_id or 0 for thread in threads]
        self._clocks = [time.pthread_getcpuclockid(thread.ident or 0) for thread in threads]
        self._urgent = urgent
        self._cores = os.sched_getaffinity(0)
        self._is_shared = False

    async def run(self) -> None:
        """Share a core, and review that each second, until cancelled."""
        try:
            self.review(0)
            while True:
                used, began = self._used(), time.monotonic()
                await asyncio.sleep(REVIEW_SECONDS)
                self.review((self._used() - used) / (time.monotonic() - began))
        finally:
            self._allow(self._cores)

    def review(self, load: float) -> None:
        """Share a core or not, by what the threads have used together; 1.0 is a whole core."""
        # No load is below 0.
        limit = 0.0 if self._urgent() else SPREAD_LOAD if self._is_shared else SHARE_LOAD
        if self._is_shared and load >= limit:
            self._is_shared = not self._allow(self._cores)
        elif not self._is_shared and load < limit:
            # Another one each time, since another program with real-time priority may use the last one.
            self._is_shared = self._allow({random.choice(sorted(self._cores))})  # noqa: S311 (no secret)

    def _used(self) -> float:
        """Return the seconds of processor time that the threads have used so far."""
        return sum(map(time.clock_gettime, self._clocks))

    def _allow(self, cores: set[int]) -> bool:
        """Let the threads use these cores only; False if the system does not permit it (any more)."""
        with suppress(OSError):
            for thread in self._ids:
                os.sched_setaffinity(thread, cores)
            return True
        return False
