"""Remembers which clips there are, so that those that nobody needs can go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RecentClips:
    """The names of clips, used least recently first.

    Past `most`, those are unloaded that nobody used for `keep_seconds`; younger ones may still be about to be played.
    """

    def __init__(self, most: int, keep_seconds: float, unload: Callable[[str], None]) -> None:
        self._most = most
        self._keep_seconds = keep_seconds
        self._unload = unload
        self._used_at: dict[str, float] = {}

    def use(self, name: str) -> bool:
        """Whether there is such a clip; it counts as used now."""
        if name not in self._used_at:
            return False
        self._touch(name)
        return True

    def add(self, name: str) -> None:
        """Take up a clip that was loaded, and unload what need not be kept."""
        self._touch(name)
        old = asyncio.get_running_loop().time() - self._keep_seconds
        for other, used_at in list(self._used_at.items()):
            if len(self._used_at) <= self._most or used_at > old:
                break
            del self._used_at[other]
            self._unload(other)

    def close(self) -> None:
        """Unload all."""
        while self._used_at:
            self._unload(self._used_at.popitem()[0])

    def _touch(self, name: str) -> None:
        self._used_at.pop(name, None)
        self._used_at[name] = asyncio.get_running_loop().time()
