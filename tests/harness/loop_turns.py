"""The turns of the running event loop, counted."""

from __future__ import annotations

import asyncio
from typing import Self


class LoopTurns:
    """`with LoopTurns() as turns:` counts in `turns.count` the turns that the loop has begun."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._next = self._loop.call_soon(self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        self._next.cancel()

    def _begin(self) -> None:
        self.count += 1
        self._next = self._loop.call_soon(self._begin)
