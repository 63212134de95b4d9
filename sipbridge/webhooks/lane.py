"""The deliveries of one project: how many at once, and if its webhook responds."""

from __future__ import annotations

from collections import deque

from sipbridge.webhooks.event_queue import EventQueue

MAX_WORKERS = 100  # attempts at once; a webhook that takes 0.1 s gets 1,000 events per second
_UNANSWERED = 5  # attempts, which show that the webhook is down


class Lane:
    """The queues of one project that have events to send. A slow webhook occupies the workers of its own lane only.

    `ready` are the queues whose turn comes, `waiting` those that wait because the webhook did not respond.
    """

    __slots__ = ("_is_failing", "_unanswered", "ready", "waiting", "workers")

    def __init__(self) -> None:
        self.ready: deque[EventQueue] = deque()
        self.waiting: set[EventQueue] = set()
        self.workers = 0
        self._is_failing = False
        self._unanswered = 0  # attempts since an event was settled

    @property
    def has_slot(self) -> bool:
        """True if another attempt may be made now."""
        return self.workers < MAX_WORKERS

    def record_failure(self, *, responded: bool) -> bool:
        """Record an attempt that is to be repeated. Return True if it is the first in a row."""
        first = not self._is_failing
        self._is_failing = True
        self._unanswered += not responded
        return first

    def record_success(self) -> bool:
        """Record an event that was settled. Return True if attempts failed before it."""
        recovered = self._is_failing
        self._is_failing = False
        return recovered

    def take_waiting(self) -> set[EventQueue]:
        """Return the queues that need no longer wait, since the webhook responds again after a time without a response.

        After a few attempts without a response, there are none: these may have been the fault of single events.
        """
        unanswered, self._unanswered = self._unanswered, 0
        if unanswered < _UNANSWERED:
            return set()
        waiting, self.waiting = self.waiting, set()
        return waiting
