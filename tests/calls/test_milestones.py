"""The milestones of a call, as they follow from its record."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sipbridge.calls.events import CallAnswered, CallEnded, CallStarted, HandoffFinished, HandoffStarted
from sipbridge.calls.milestones import MilestoneType, Reported, last_sequence, milestone_of, milestones_of
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.store.records import START, make_handoff, make_record

OK = Outcome(Result.SUCCESS, "handed_off")


def at(seconds: float) -> object:
    return START + timedelta(seconds=seconds)


RINGING = make_record(state=CallState.RINGING)
TALKING = RINGING.changed(state=CallState.TALKING, answered_at=at(1))
HANDING_OFF = TALKING.changed(state=CallState.HANDING_OFF, handoff=make_handoff(handoff_at=at(30)))
FINISHED = HANDING_OFF.changed(
    handoff=make_handoff(handoff_at=at(30), state=HandoffState.COMPLETED, confirmed=True, finished_at=at(31))
)
ENDED = FINISHED.changed(
    state=CallState.ENDED, ended_at=at(32), ended_by="caller", result=Result.SUCCESS, reason="handed_off"
)


def test_a_record_shows_each_milestone_as_the_call_was_then() -> None:
    found = milestones_of(ENDED)
    assert [(each.type.value, each.at) for each in found] == [
        ("call.started", START),
        ("call.answered", at(1)),
        ("handoff.started", at(30)),
        ("handoff.finished", at(31)),
        ("call.ended", at(32)),
    ]
    assert [each.record for each in found] == [RINGING, TALKING, HANDING_OFF, FINISHED, ENDED]


def test_a_milestone_has_the_same_id_when_it_happens_and_later() -> None:
    events: list[Reported] = [
        CallStarted(RINGING),
        CallAnswered(TALKING, 1.0),
        HandoffStarted(HANDING_OFF),
        HandoffFinished(FINISHED, "release", OK, 1.0),
        CallEnded(ENDED, OK, 32.0),
    ]
    assert [milestone_of(event) for event in events] == milestones_of(ENDED)
    assert [each.id for each in milestones_of(ENDED)] == [f"call-1-{number}" for number in (1, 2, 3, 4, 7)]


def test_milestones_that_a_call_skips_leave_a_gap() -> None:
    refused = RINGING.changed(state=CallState.ENDED, ended_at=at(1))
    assert [(each.sequence, each.previous) for each in milestones_of(refused)] == [(1, 0), (7, 1)]
    contained = TALKING.changed(state=CallState.ENDED, ended_at=at(9))
    assert [(each.sequence, each.previous) for each in milestones_of(contained)] == [(1, 0), (2, 1), (7, 2)]


def test_a_call_may_have_a_handoff_that_was_taken_back_and_another_one() -> None:
    returned = TALKING.changed(
        handoff=make_handoff(
            handoff_at=at(30), state=HandoffState.FAILED, confirmed=False, finished_at=at(60), taken_back=True
        )
    )
    again = returned.changed(
        state=CallState.HANDING_OFF, handoff=make_handoff(handoff_at=at(70)), earlier_handoff=returned.handoff
    )
    finished = again.changed(handoff=FINISHED.handoff)
    ended = finished.changed(state=CallState.ENDED, ended_at=at(80))
    found = milestones_of(ended)
    assert [each.type.value for each in found[3:5]] == ["handoff.taken_back", "handoff.started"]
    assert [each.record for each in found[2:4]] == [HANDING_OFF, returned]
    assert found[4].record.earlier_handoff == returned.handoff
    assert milestone_of(HandoffFinished(returned, "release", OK, 30.0)) == found[3]
    begun = milestone_of(HandoffStarted(again))
    assert begun is not None
    assert (begun.sequence, begun.previous, begun.at) == (5, 4, at(70))


def test_an_end_of_the_leg_is_not_yet_the_end_of_the_call() -> None:
    hung_up: CallRecord = TALKING.changed(ended_at=at(9))
    assert [each.type for each in milestones_of(hung_up)] == [MilestoneType.CALL_STARTED, MilestoneType.CALL_ANSWERED]


@pytest.mark.parametrize(
    "record", [RINGING, TALKING, HANDING_OFF, FINISHED, ENDED, RINGING.changed(state=CallState.ENDED, ended_at=at(2))]
)
def test_the_last_sequence_is_that_of_the_last_milestone(record: CallRecord) -> None:
    assert last_sequence(record) == milestones_of(record)[-1].sequence
