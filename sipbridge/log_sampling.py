"""A limit on log lines of one kind, so that a flood of packets cannot fill a disk."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Window:
    """The lines of one kind and owner so far. `by_source` has no more entries than lines were written."""

    written: int = 0
    suppressed: int = 0
    by_source: Counter[str] = field(default_factory=Counter)


class BurstLimit:
    """At most `count` lines of a kind per window and owner. At the end of a window, the log says how many were dropped.

    `owner` are fields such as the client and the project, so that one client's flood hides no other client's lines.
    Of these lines at most `count_per_source` are about one source, so that one source hides no other either.
    Used on one event loop. Kinds and owners must be few: identifiers, never text from a peer. A source may be any text.
    """

    def __init__(
        self, logger: logging.Logger, count: int = 20, window_seconds: float = 1.0, *, count_per_source: int = 5
    ) -> None:
        self._logger = logger
        self._count = count
        self._count_per_source = count_per_source
        self._window_seconds = window_seconds
        self._windows: dict[tuple[str, frozenset[tuple[str, str]]], _Window] = {}

    def allows(self, kind: str, source: str | None = None, /, **owner: str) -> bool:
        """Return True if one more line of this kind, source and owner may be written now, and count it."""
        key = kind, frozenset(owner.items())
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            asyncio.get_running_loop().call_later(self._window_seconds, self._end_window, key)
        if window.written >= self._count or (source is not None and window.by_source[source] >= self._count_per_source):
            window.suppressed += 1
            return False
        window.written += 1
        if source is not None:
            window.by_source[source] += 1
        return True

    def _end_window(self, key: tuple[str, frozenset[tuple[str, str]]]) -> None:
        suppressed = self._windows.pop(key).suppressed
        if suppressed > 0:
            kind, owner = key
            fields = {"event": "lines_suppressed", "suppressed": suppressed, "window_seconds": self._window_seconds}
            self._logger.warning("more lines like these: %s", kind, extra=fields | dict(owner))
