"""The rules that no fault may break: each is broken by a history that is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sipbridge.calls.milestones import milestones_of
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState
from tests.store.records import START, make_handoff, make_record

from .callers import Caller
from .counts import BEGUN, CUT_OFF, DIED, MAX_SHOWN, SAVED, Allowed, Breach, Counts, count, count_events
from .phases import A_CUT, A_DEATH, NOTHING

CONTACT = "contact-1"
END: dict[str, Any] = {"state": CallState.ENDED, "ended_at": START + timedelta(minutes=1), "result": Result.SUCCESS}
COMPLETED = make_handoff(state=HandoffState.COMPLETED, signal="sent", finished_at=START + timedelta(minutes=1))
RECORD = make_record(answered_at=START, handoff=COMPLETED, reason="handed_off", **END)
UNSIGNALLED = RECORD.changed(handoff=None, result=Result.SERVER_ERROR, reason="internal_error")


@dataclass(frozen=True)
class History:
    """One call as the caller, CXone and the store have seen it. By default it is as it should be."""

    caller: Caller = field(default_factory=lambda: Caller(CONTACT, "call-1@trunk", datetime(2026, 3, 1), 200))  # noqa: DTZ001
    signals: Mapping[str, int] = field(default_factory=lambda: {CONTACT: 1})
    records: Sequence[CallRecord] = (RECORD,)

    def count(self, allowed: Allowed) -> Counts:
        """Count it."""
        return count([self.caller], self.signals, {CONTACT: self.records} if self.records else {}, allowed)


GOOD = History()


def caller(**changes: Any) -> Caller:  # noqa: ANN401 (any field)
    return replace(GOOD.caller, **changes)


def unsignalled(*, has_bye: bool = True, **changes: Any) -> History:  # noqa: ANN401 (any field)
    """Return a conversation without a Signal, whose record has these changes."""
    return History(caller(has_bye=has_bye), {}, [RECORD.changed(**changes)])


def broken(counts: Counts) -> list[str]:
    return [breach.rule for breach in counts.breaches]


def test_a_call_with_one_signal_breaks_no_rule() -> None:
    counts = GOOD.count(NOTHING)
    assert counts.breaches == []
    assert (counts.calls, counts.answered, counts.signalled, counts.saved) == (1, 1, 1, 0)


@pytest.mark.parametrize("reason", SAVED)
def test_a_call_of_a_dead_node_counts_as_saved(reason: str) -> None:
    counts = replace(GOOD, records=[RECORD.changed(reason=reason)]).count(NOTHING)
    assert (counts.breaches, counts.saved) == ([], 1)


@pytest.mark.parametrize(
    ("history", "rule"),
    [
        (replace(GOOD, signals={CONTACT: 2}), "signalled twice"),
        (replace(GOOD, records=()), "answered, without a record"),
        (replace(GOOD, records=[RECORD.changed(state=CallState.TALKING)]), "no final state"),
        (
            replace(GOOD, records=[RECORD.changed(handoff=COMPLETED.changed(state=HandoffState.INITIATED))]),
            "no final state",
        ),
        (replace(GOOD, records=[RECORD, RECORD.changed(state=CallState.TALKING)]), "no final state"),
        (replace(GOOD, signals={}, records=[UNSIGNALLED]), "conversation without a Signal"),
        (replace(GOOD, caller=caller(status=503)), "failed call"),
    ],
)
def test_each_rule_is_broken_on_its_own_whatever_the_fault(history: History, rule: str) -> None:
    for allowed in (NOTHING, A_CUT, A_DEATH):
        counts = history.count(allowed)
        assert broken(counts) == [rule]
        assert counts.breaches[0].ids[0].startswith(CONTACT)


@pytest.mark.parametrize(
    ("history", "reason", "excused_by"),
    [
        (unsignalled(handoff=COMPLETED.changed(signal="unknown")), BEGUN, (A_DEATH,)),
        (unsignalled(handoff=COMPLETED.changed(signal="undelivered")), CUT_OFF, (A_DEATH, A_CUT)),
        (unsignalled(handoff=None, result=Result.INDETERMINATE, reason="node_lost"), CUT_OFF, (A_DEATH, A_CUT)),
        (unsignalled(has_bye=False, handoff=COMPLETED.changed(signal="undelivered")), "success handed_off", ()),
        (unsignalled(has_bye=False, result=Result.INDETERMINATE, reason="node_lost"), "indeterminate node_lost", ()),
    ],
)
def test_a_conversation_without_a_signal_needs_a_reason_that_the_fault_excuses(
    history: History, reason: str, excused_by: Sequence[Allowed]
) -> None:
    for allowed in (NOTHING, A_CUT, A_DEATH):
        counts = history.count(allowed)
        assert counts.not_signalled == {reason: 1}
        assert broken(counts) == ([] if allowed in excused_by else ["conversation without a Signal"])
        assert counts.without_end == (not history.caller.has_bye)


@pytest.mark.parametrize(
    ("status", "seconds", "reason"),
    [(0, 0.0, DIED), (408, 60.0, DIED), (408, 5.0, "408"), (503, 60.0, "503")],
)
def test_a_call_without_an_answer_is_excused_only_if_its_node_died(status: int, seconds: float, reason: str) -> None:
    history = replace(GOOD, caller=caller(status=status, answer_seconds=seconds))
    for allowed in (NOTHING, A_CUT, A_DEATH):
        counts = history.count(allowed)
        assert counts.not_answered == {reason: 1}
        assert broken(counts) == ([] if reason == DIED and allowed is A_DEATH else ["failed call"])


def events(record: CallRecord = RECORD) -> dict[tuple[str, str], int]:
    """Return the events of a record, each once."""
    return {(record.call_id, each.type.value): 1 for each in milestones_of(record)}


def count_seen(seen: Mapping[tuple[str, str], int], record: CallRecord = RECORD) -> Counts:
    counts = Counts()
    count_events(counts, [GOOD.caller], {CONTACT: [record]}, seen)
    return counts


def test_events_that_arrive_once_break_no_rule() -> None:
    counts = count_seen(events())
    assert (counts.breaches, counts.events) == ([], 5)


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        ({event: 1 for event in events() if event[1] != "call.ended"}, "event missing"),
        (events() | {("call-1", "call.ended"): 2}, "event twice"),
        (events() | {("call-1", "handoff.taken_back"): 1}, "event of nothing in the record"),
    ],
)
def test_each_rule_of_events_is_broken_on_its_own(seen: Mapping[tuple[str, str], int], rule: str) -> None:
    counts = count_seen(seen)
    assert broken(counts) == [rule]
    assert counts.breaches[0].ids[0].startswith("call-1 ")


def test_the_events_of_other_phases_count_for_nothing() -> None:
    assert count_seen(events() | {("call-2", "call.ended"): 2}).breaches == []


def test_a_node_that_was_cut_off_may_have_sent_more_than_its_rescuer_knows() -> None:
    saved = RECORD.changed(reason="node_lost")
    assert count_seen(events(saved) | {("call-1", "handoff.taken_back"): 1}, saved).breaches == []


def test_a_breach_names_some_of_its_ids_and_counts_the_rest() -> None:
    text = str(Breach("event missing", [f"call-{number}" for number in range(MAX_SHOWN + 3)]))
    assert text.startswith("event missing: call-0, call-1, ")
    assert text.endswith(f"call-{MAX_SHOWN - 1} and 3 more")
