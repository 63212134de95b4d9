"""Events of each project, sent to every reader of its event stream."""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from sipbridge.calls.milestones import Milestone, MilestoneType
from sipbridge.calls.ports.event_log import Position
from sipbridge.web.api.schemas import CallSummary
from sipbridge.web.server.readers import Reader, Readers

logger = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 256  # a reader that is further behind is disconnected
MAX_READERS_PER_PROJECT = 64  # one more disconnects the oldest


class EventId(NamedTuple):
    """The position of an event among those of its project: that of the log's entry, and the milestone's sequence."""

    position: Position
    sequence: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an id; None if the text is none."""
        found = re.fullmatch("([0-9]{1,15})-([0-9]{1,15})-([0-9]{1,2})", text)
        if found is None:
            return None
        milliseconds, number, sequence = map(int, found.groups())
        return cls(Position(milliseconds, number), sequence)

    def __str__(self) -> str:
        return f"{self.position}-{self.sequence}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of the stream: its name, and a `CallSummary` as JSON. A gap has no id."""

    name: MilestoneType | Literal["stream.gap"]
    body: str
    id: EventId | None = None

    @classmethod
    def of(cls, milestone: Milestone, id_: EventId) -> Self:
        """Return the event of a milestone."""
        return cls(milestone.type, CallSummary.of(milestone.record).model_dump_json(), id_)


# Events before the next one may be missing: they are no longer kept.
GAP = Notice("stream.gap", "null")


class EventFeed:
    """The readers of each project's events, which come from the log. Belongs to one event loop."""

    def __init__(self) -> None:
        self._readers = Readers[tuple[str, str], Notice](MAX_QUEUED_EVENTS, MAX_READERS_PER_PROJECT)

    def has_readers(self, client: str, project: str) -> bool:
        """True if a project has readers."""
        return (client, project) in self._readers

    def send(self, client: str, project: str, notice: Notice) -> None:
        """Queue an event for each reader of a project."""
        for _ in self._readers.send((client, project), notice):
            logger.warning("event stream closed: reader too slow", extra={"client": client, "project": project})

    def reader(self, client: str, project: str) -> AbstractContextManager[Reader[Notice]]:
        """Receive the events of a project while the block runs."""
        return self._readers.reader((client, project))

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._readers.close()
