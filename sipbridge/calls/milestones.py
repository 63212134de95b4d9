"""The milestones of a call: the events that clients get, by the event stream and by webhooks.

They follow from the record of the call. So nothing but the record has to be kept to send them later, or again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeGuard

from sipbridge.calls.events import CallAnswered, CallEnded, CallEvent, CallStarted, HandoffFinished, HandoffStarted
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.record import HandoffState


class MilestoneType(StrEnum):
    """The milestones, in their order. A call skips those that it does not reach."""

    CALL_STARTED = "call.started"
    CALL_ANSWERED = "call.answered"
    HANDOFF_STARTED = "handoff.started"
    HANDOFF_FINISHED = "handoff.finished"
    CALL_ENDED = "call.ended"


# A type has the same sequence in each call, and so a milestone has the same id whatever was lost in a crash.
SEQUENCES = {type_: number for number, type_ in enumerate(MilestoneType, 1)}
LAST = SEQUENCES[MilestoneType.CALL_ENDED]

Reported = CallStarted | CallAnswered | HandoffStarted | HandoffFinished | CallEnded  # the events that report one

MILESTONE_TYPES: dict[type, MilestoneType] = {
    CallStarted: MilestoneType.CALL_STARTED,
    CallAnswered: MilestoneType.CALL_ANSWERED,
    HandoffStarted: MilestoneType.HANDOFF_STARTED,
    HandoffFinished: MilestoneType.HANDOFF_FINISHED,
    CallEnded: MilestoneType.CALL_ENDED,
}


@dataclass(frozen=True, slots=True)
class Milestone:
    """A milestone, with the record as it was then. `previous` is the sequence of the milestone before it, or 0."""

    type: MilestoneType
    at: datetime
    record: CallRecord
    previous: int

    @property
    def id(self) -> str:
        """The id, the same each time that the milestone is sent."""
        return f"{self.record.call_id}-{self.sequence}"

    @property
    def sequence(self) -> int:
        """The position among the milestones of a call, with gaps for those that it skips."""
        return SEQUENCES[self.type]


def reports_milestone(event: CallEvent) -> TypeGuard[Reported]:
    """Return True if an event reports a milestone. It is asked for each event of each call."""
    return type(event) in MILESTONE_TYPES


def last_sequence(record: CallRecord) -> int:
    """Return the sequence of the last milestone that the call has reached."""
    *_, (type_, _) = _reached(record)
    return SEQUENCES[type_]


def milestone_of(event: Reported) -> Milestone | None:
    """Return the milestone that an event reports; None if its record does not show it."""
    type_, previous = MILESTONE_TYPES[type(event)], 0
    for reached, at in _reached(event.record):
        if reached is type_:
            return Milestone(type_, at, event.record, previous)
        previous = SEQUENCES[reached]
    return None


def milestones_of(record: CallRecord) -> list[Milestone]:
    """Return the milestones that the call has reached, in their order, each with the record as it was then."""
    found: list[Milestone] = []
    for type_, at in _reached(record):
        found.append(Milestone(type_, at, _as_of(type_, record), found[-1].sequence if found else 0))
    return found


def _reached(record: CallRecord) -> Iterator[tuple[MilestoneType, datetime]]:
    """Yield the milestones with their times."""
    handoff = record.handoff
    yield MilestoneType.CALL_STARTED, record.started_at
    if record.answered_at:
        yield MilestoneType.CALL_ANSWERED, record.answered_at
    if handoff:
        yield MilestoneType.HANDOFF_STARTED, handoff.handoff_at
        if handoff.finished_at:
            yield MilestoneType.HANDOFF_FINISHED, handoff.finished_at
    if record.state is CallState.ENDED and record.ended_at:
        yield MilestoneType.CALL_ENDED, record.ended_at


def _as_of(type_: MilestoneType, record: CallRecord) -> CallRecord:
    """Return the record as it was at a milestone."""
    if type_ is MilestoneType.CALL_ENDED:
        return record
    past = record.changed(ended_at=None, ended_by=None, result=None, reason="")
    if type_ is MilestoneType.CALL_STARTED:
        return past.changed(state=CallState.RINGING, answered_at=None, handoff=None)
    if type_ is MilestoneType.CALL_ANSWERED:
        return past.changed(state=CallState.TALKING, handoff=None)
    handoff = record.handoff
    if handoff and type_ is MilestoneType.HANDOFF_STARTED:
        handoff = handoff.changed(state=HandoffState.INITIATED, confirmed=None, finished_at=None)
    return past.changed(state=CallState.HANDING_OFF, handoff=handoff)
