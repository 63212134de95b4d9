"""One core for the event loop and the SIP thread, for as long as it is enough for both.

The two wake each other several times per call. Of two threads with real-time priority, the kernel moves one to another
core as often, where the caches are cold. Since they share Python's lock, they hardly run at the same time anyway.
"""

from __future__ import annotations

import asyncio
import operator
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

REVIEW_SECONDS = 1.0
SPREAD_LOAD = 0.9
SHARE_LOAD = 0.6


class SharedCore:
    """Moves threads to one core, and lets them use all again while they are busy or must not wait.

    They must have real-time priority: other programs on that core would hold up all of them. `urgent` is true while
    they must not wait for each other, nor for programs with a higher priority that use the core.
    """

    def __init__(self, threads: Sequence[threading.Thread], urgent: Callable[[], bool]) -> None:
        self._ids = [thread.native_id or 0 for thread in threads]
        self._urgent = urgent
        self._cores = os.sched_getaffinity(0)
        self._is_shared = False

    async def run(self) -> None:
        """Share a core, and review that each second, until cancelled. Return if the kernel does not count the load."""
        try:
            with suppress(OSError):
                await self._review_each_second()
        finally:
            self._allow(self._cores)

    async def _review_each_second(self) -> None:
        before, began = self._ready_times(), time.monotonic()
        self.review(0)
        while True:
            await asyncio.sleep(REVIEW_SECONDS)
            after, now = self._ready_times(), time.monotonic()
            self.review(max(map(operator.sub, after, before)) / (now - began))
            before, began = after, now

    def review(self, load: float) -> None:
        """Share a core or not, by the part of the time in which the busier thread ran, or waited for a core."""
        # No load is below 0.
        limit = 0.0 if self._urgent() else SPREAD_LOAD if self._is_shared else SHARE_LOAD
        if self._is_shared and load >= limit:
            self._is_shared = not self._allow(self._cores)
        elif not self._is_shared and load < limit:
            # Another one each time, since another bridge may share the last one.
            self._is_shared = self._allow({random.choice(sorted(self._cores))})  # noqa: S311 (no secret)

    def _ready_times(self) -> list[float]:
        """Return for how many seconds each thread has run, or waited for a core (Linux, scheduler/sched-stats)."""
        files = (Path(f"/proc/self/task/{thread}/schedstat") for thread in self._ids)
        return [sum(map(int, file.read_text().split()[:2])) / 1e9 for file in files]

    def _allow(self, cores: set[int]) -> bool:
        """Let the threads use these cores only; False if the system does not permit it (any more)."""
        with suppress(OSError):
            for thread in self._ids:
                os.sched_setaffinity(thread, cores)
            return True
        return False
