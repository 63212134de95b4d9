"""The milestones of a call: the events that clients get, by the event stream and by webhooks.

They follow from the record of the call. So nothing but the record has to be kept to send them later, or again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sipbridge.calls.events import CallAnswered, CallEnded, CallStarted, HandoffFinished, HandoffStarted
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.record import HandoffRecord, HandoffState


class MilestoneType(StrEnum):
    """The milestones, in their order. A call skips those that it does not reach.

    A handoff ends by one of two; after one that was taken back there may be another.
    """

    CALL_STARTED = "call.started"
    CALL_ANSWERED = "call.answered"
    HANDOFF_STARTED = "handoff.started"
    HANDOFF_FINISHED = "handoff.finished"
    HANDOFF_TAKEN_BACK = "handoff.taken_back"
    CALL_ENDED = "call.ended"


# A milestone has the same sequence in each call, and so it has the same id whatever was lost in a crash.
_STARTED, _ANSWERED, LAST = 1, 2, 7
# Of the begin and the end of each handoff.
_HANDOFFS = ((3, 4), (5, 6))

Reported = CallStarted | CallAnswered | HandoffStarted | HandoffFinished | CallEnded  # the events that report one

MILESTONE_TYPES: dict[type, tuple[MilestoneType, ...]] = {
    CallStarted: (MilestoneType.CALL_STARTED,),
    CallAnswered: (MilestoneType.CALL_ANSWERED,),
    HandoffStarted: (MilestoneType.HANDOFF_STARTED,),
    HandoffFinished: (MilestoneType.HANDOFF_FINISHED, MilestoneType.HANDOFF_TAKEN_BACK),
    CallEnded: (MilestoneType.CALL_ENDED,),
}


@dataclass(frozen=True, slots=True)
class Milestone:
    """A milestone, with the record as it was then.

    `sequence` is its position among the milestones of a call, with gaps for those that it skips; `previous` is that of
    the milestone before it, or 0.
    """

    type: MilestoneType
    at: datetime
    record: CallRecord
    sequence: int
    previous: int

    @property
    def id(self) -> str:
        """The id, the same each time that the milestone is sent."""
        return f"{self.record.call_id}-{self.sequence}"


def last_sequence(record: CallRecord) -> int:
    """Return the sequence of the last milestone that the call has reached."""
    *_, (sequence, _, _) = _reached(record)
    return sequence


def milestone_of(event: Reported) -> Milestone | None:
    """Return the milestone that an event reports, the last one of its type; None if its record does not show it."""
    found, previous = None, 0
    for sequence, type_, at in _reached(event.record):
        if type_ in MILESTONE_TYPES[type(event)]:
            found = Milestone(type_, at, event.record, sequence, previous)
        previous = sequence
    return found


def milestones_of(record: CallRecord) -> list[Milestone]:
    """Return the milestones that the call has reached, in their order, each with the record as it was then."""
    found: list[Milestone] = []
    for sequence, type_, at in _reached(record):
        previous = found[-1].sequence if found else 0
        found.append(Milestone(type_, at, _as_of(sequence, type_, record), sequence, previous))
    return found


def _handoffs(record: CallRecord) -> list[HandoffRecord]:
    """Return the handoffs of a call, in their order."""
    return [handoff for handoff in (record.earlier_handoff, record.handoff) if handoff]


def _reached(record: CallRecord) -> Iterator[tuple[int, MilestoneType, datetime]]:
    """Yield the sequences of the milestones, their types and times."""
    yield _STARTED, MilestoneType.CALL_STARTED, record.started_at
    if record.answered_at:
        yield _ANSWERED, MilestoneType.CALL_ANSWERED, record.answered_at
    for handoff, (begin, end) in zip(_handoffs(record), _HANDOFFS, strict=False):
        yield begin, MilestoneType.HANDOFF_STARTED, handoff.handoff_at
        if handoff.finished_at:
            type_ = MilestoneType.HANDOFF_TAKEN_BACK if handoff.taken_back else MilestoneType.HANDOFF_FINISHED
            yield end, type_, handoff.finished_at
    if record.state is CallState.ENDED and record.ended_at:
        yield LAST, MilestoneType.CALL_ENDED, record.ended_at


def _as_of(sequence: int, type_: MilestoneType, record: CallRecord) -> CallRecord:
    """Return the record as it was at a milestone."""
    if type_ is MilestoneType.CALL_ENDED:
        return record
    past = record.changed(ended_at=None, ended_by=None, result=None, reason="")
    if type_ is MilestoneType.CALL_STARTED:
        return past.changed(state=CallState.RINGING, answered_at=None, handoff=None, earlier_handoff=None)
    if type_ is MilestoneType.CALL_ANSWERED:
        return past.changed(state=CallState.TALKING, handoff=None, earlier_handoff=None)
    is_first = sequence in _HANDOFFS[0]
    handoff = _handoffs(record)[0 if is_first else 1]
    earlier = None if is_first else record.earlier_handoff
    if type_ is MilestoneType.HANDOFF_STARTED:
        handoff = handoff.changed(state=HandoffState.INITIATED, confirmed=None, finished_at=None, taken_back=False)
    state = CallState.TALKING if type_ is MilestoneType.HANDOFF_TAKEN_BACK else CallState.HANDING_OFF
    return past.changed(state=state, handoff=handoff, earlier_handoff=earlier)
