"""The events of one chat or call that the webhook has not got yet."""

from __future__ import annotations

import asyncio
from collections import deque

from sipbridge.config import ProjectKey
from sipbridge.webhooks.model import Event, EventSource

MAX_HELD = 16  # events of one chat or call in memory; the rest is in the store
_PAGE = MAX_HELD
UNKNOWN = -1  # the cursor of a queue of which only a typing event is known


class EventQueue:
    """The queue of one chat or call, in the order of sequences.

    It holds the next few events at most. The source has all of them, so a queue that is far behind, or that waits for
    a retry, needs no more memory than a cursor: the last sequence that is settled. Typing events, which the source does
    not have, are held between the others.
    """

    __slots__ = ("_held", "_last", "_published", "_unread", "cursor", "failures", "project", "retry", "uid")

    def __init__(self, uid: str, project: ProjectKey, cursor: int, *, unread: bool = False) -> None:
        self.uid = uid
        self.project = project
        self.cursor = cursor
        self.failures = 0  # in a row
        self.retry: asyncio.TimerHandle | None = None  # set while it waits
        self._held: deque[Event] = deque()
        self._last = cursor  # the highest sequence that was published or read
        self._published = cursor
        self._unread = unread  # True if the source may have events after those that are held

    @property
    def is_empty(self) -> bool:
        """True if every event is settled."""
        return not self._held and not self._unread

    @property
    def last(self) -> int:
        """The highest sequence that is known."""
        return self._last

    @property
    def is_ahead(self) -> bool:
        """True if an event was settled that is yet to be published: it was read just after it was stored."""
        return self.cursor > self._published

    def add(self, event: Event) -> bool:
        """Add an event that was published. Return False if it is a typing event that cannot be sent soon."""
        if event.sequence is None:
            if self.failures or self._unread or len(self._held) >= MAX_HELD:
                return False
            self._held.append(event)
            return True
        if self.cursor == UNKNOWN:
            self.cursor = self._last = event.previous
        self._published = event.sequence
        if event.sequence <= self._last:
            return True
        follows = event.previous == self._last
        if self._unread or self.failures or not follows or len(self._held) >= MAX_HELD:
            self._unread = True
        else:
            self._held.append(event)
        self._last = event.sequence
        return True

    async def first(self, source: EventSource) -> Event | None:
        """Return the first event that is not settled; None if there is none. Raises `StoreError`."""
        while self._unread and not self._held:
            last = self._last
            page = await source.events(self.project, self.uid, after=self.cursor, limit=_PAGE)
            self._held.extend(page)
            # An event that was published meanwhile may be in the page or not.
            self._unread = len(page) == _PAGE or self._last != last
            if page:
                self._last = max(self._last, page[-1].sequence or 0)
        return self._held[0] if self._held else None

    def settle(self, event: Event) -> None:
        """Remove the first event."""
        self._held.popleft()
        if event.sequence is not None:
            self.cursor = event.sequence

    def release(self) -> None:
        """Forget the events in memory, as it will take a while; the source has them. Typing events are lost."""
        self._unread = self._unread or any(event.sequence is not None for event in self._held)
        self._held.clear()
