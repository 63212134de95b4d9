"""The ends of calls that another node may have taken over: which node reports them is not known yet."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.calls.events import CallEnded

# As many as records wait for a store that fails. Those that no longer fit are in the journal, for the next start.
MAX_HELD = 50_000


class HeldEnds:
    """The ends of calls whose records the store does not have, until it says which record stands.

    Without a store and without the other nodes, a node cannot know that one of them has taken its calls over. While
    `may_be_rescued` is false none has, and no end is held: a receiver need not wait until Redis is back.
    """

    def __init__(self, may_be_rescued: Callable[[], bool] = lambda: False) -> None:
        self._may_be_rescued = may_be_rescued
        self._held: dict[str, CallEnded] = {}

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._held

    def hold(self, end: CallEnded) -> bool:
        """Hold the end of a call; return False if this node may report it now."""
        if end.stored or not self._may_be_rescued():
            return False
        self._held[end.record.call_id] = end
        if len(self._held) > MAX_HELD:
            del self._held[next(iter(self._held))]
        return True

    def release(self, call_id: str) -> CallEnded | None:
        """Return the end of a call, which is no longer held; None if it was not."""
        return self._held.pop(call_id, None)
