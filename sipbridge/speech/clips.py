"""A cache index of synthesised clips, which unloads those that are no longer needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RecentClips:
    """The names of loaded clips, least recently used first.

    Beyond `max_clips`, clips that were not used for `keep_seconds` are unloaded; newer ones may not be played yet.
    """

    def __init__(self, max_clips: int, keep_seconds: float, unload: Callable[[str], None]) -> None:
        self._max_clips = max_clips
        self._keep_seconds = keep_seconds
        self._unload = unload
        self._used_at: dict[str, float] = {}

    def use(self, name: str) -> bool:
        """Return True if the clip is loaded, and mark it as used now."""
        if name not in self._used_at:
            return False
        self._touch(name)
        return True

    def add(self, name: str) -> None:
        """Add a loaded clip, and unload old ones."""
        self._touch(name)
        old = asyncio.get_running_loop().time() - self._keep_seconds
        for other, used_at in list(self._used_at.items()):
            if len(self._used_at) <= self._max_clips or used_at > old:
                break
            del self._used_at[other]
            self._unload(other)

    def close(self) -> None:
        """Unload all clips."""
        while self._used_at:
            self._unload(self._used_at.popitem()[0])

    def _touch(self, name: str) -> None:
        self._used_at.pop(name, None)
        self._used_at[name] = asyncio.get_running_loop().time()
