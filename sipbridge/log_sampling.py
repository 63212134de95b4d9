"""A limit on log lines that say the same, so that a flood of packets cannot fill a disk."""

from __future__ import annotations

import asyncio
import logging


class BurstLimit:
    """A limit of `count` lines of a kind per window; the log says how many more there were when the window is over.

    Belongs to one event loop. Kinds must be few: identifiers, never a text from outside.
    """

    def __init__(self, logger: logging.Logger, count: int = 20, window_seconds: float = 1.0) -> None:
        self._logger = logger
        self._count = count
        self._window_seconds = window_seconds
        self._seen: dict[str, int] = {}

    def allows(self, kind: str) -> bool:
        """True if one more line of that kind may be written now."""
        seen = self._seen.get(kind, 0)
        self._seen[kind] = seen + 1
        if seen == 0:
            asyncio.get_running_loop().call_later(self._window_seconds, self._end_window, kind)
        return seen < self._count

    def _end_window(self, kind: str) -> None:
        over = self._seen.pop(kind) - self._count
        if over > 0:
            fields = {"event": "lines_suppressed", "suppressed": over, "window_seconds": self._window_seconds}
            self._logger.warning("more lines like these: %s", kind, extra=fields)
