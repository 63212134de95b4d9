"""Requests that wait until a condition holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, ParamSpec

P = ParamSpec("P")


@dataclass(slots=True, eq=False)
class _Waiter(Generic[P]):
    holds: Callable[[], bool]
    concerns: Callable[P, bool]
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Waiters(Generic[P]):
    """The waiting requests of one kind of change. `concerns` selects the changes after which a condition is checked."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter[P]] = []

    def notify(self, *change: P.args, **details: P.kwargs) -> None:
        """Check the conditions that a change concerns."""
        for waiter in self._waiters:
            if waiter.concerns(*change, **details) and waiter.holds():
                waiter.done.set()

    async def wait_until(self, holds: Callable[[], bool], concerns: Callable[P, bool], timeout_seconds: float) -> None:
        """Wait until the condition holds or the time is over."""
        if holds():
            return
        waiter = _Waiter(holds, concerns)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter.done.wait()
        except TimeoutError:
            return
        finally:
            self._waiters.remove(waiter)
