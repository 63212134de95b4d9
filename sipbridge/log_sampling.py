"""A limit on log lines of one kind, so that a flood of packets cannot fill a disk."""

from __future__ import annotations

import asyncio
import logging


class BurstLimit:
    """At most `count` lines of a kind per window and owner. At the end of a window, the log says how many were dropped.

    `owner` are fields such as the client and the project, so that one client's flood hides no other client's lines.
    Used on one event loop. Kinds and owners must be few: identifiers, never text from a peer.
    """

    def __init__(self, logger: logging.Logger, count: int = 20, window_seconds: float = 1.0) -> None:
        self._logger = logger
        self._count = count
        self._window_seconds = window_seconds
        self._seen: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}

    def allows(self, kind: str, **owner: str) -> bool:
        """Return True if one more line of this kind and owner may be written now, and count it."""
        key = kind, frozenset(owner.items())
        seen = self._seen.get(key, 0)
        self._seen[key] = seen + 1
        if seen == 0:
            asyncio.get_running_loop().call_later(self._window_seconds, self._end_window, key)
        return seen < self._count

    def _end_window(self, key: tuple[str, frozenset[tuple[str, str]]]) -> None:
        over = self._seen.pop(key) - self._count
        if over > 0:
            kind, owner = key
            fields = {"event": "lines_suppressed", "suppressed": over, "window_seconds": self._window_seconds}
            self._logger.warning("more lines like these: %s", kind, extra=fields | dict(owner))
