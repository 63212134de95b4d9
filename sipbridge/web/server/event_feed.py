"""Events of each project, sent to every reader of its event stream."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sipbridge.calls.events import CallEvent
from sipbridge.calls.milestones import MILESTONE_TYPES, MilestoneType, reports_milestone
from sipbridge.web.api.schemas import CallSummary
from sipbridge.web.server.readers import Reader, Readers

logger = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 256  # a reader that is further behind is disconnected
MAX_READERS_PER_PROJECT = 64  # one more disconnects the oldest


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of the stream: its name, and a `CallSummary` as JSON."""

    name: MilestoneType
    body: str


class EventFeed:
    """An `Observer` that sends each project's events to its readers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._readers = Readers[tuple[str, str], Notice](MAX_QUEUED_EVENTS, MAX_READERS_PER_PROJECT)

    def __call__(self, event: CallEvent, /) -> None:
        """Queue an event for each reader. Without readers the cost is negligible."""
        if not reports_milestone(event):
            return
        client, project = event.record.client, event.record.project
        if (client, project) not in self._readers:
            return
        notice = Notice(MILESTONE_TYPES[type(event)], CallSummary.of(event.record).model_dump_json())
        for _ in self._readers.send((client, project), notice):
            logger.warning("event stream closed: reader too slow", extra={"client": client, "project": project})

    def reader(self, client: str, project: str) -> AbstractContextManager[Reader[Notice]]:
        """Receive the events of a project while the block runs."""
        return self._readers.reader((client, project))

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._readers.close()
