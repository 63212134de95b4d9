"""A limit on lines that say the same, so that a flood of packets cannot fill a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Report = Callable[[str, int, float], None]


class BurstLimit:
    """Lets `count` of a kind through in each window, and reports how many more came when the window is over.

    Belongs to one event loop. Kinds must be few: they are words of the code.
    """

    def __init__(self, count: int, window_seconds: float, report: Report) -> None:
        self._count = count
        self._window_seconds = window_seconds
        self._report = report
        self._seen: dict[str, int] = {}

    def allows(self, kind: str) -> bool:
        """Whether one more of that kind may pass now."""
        seen = self._seen.get(kind, 0)
        self._seen[kind] = seen + 1
        if seen == 0:
            asyncio.get_running_loop().call_later(self._window_seconds, self._end_window, kind)
        return seen < self._count

    def _end_window(self, kind: str) -> None:
        over = self._seen.pop(kind) - self._count
        if over > 0:
            self._report(kind, over, self._window_seconds)
