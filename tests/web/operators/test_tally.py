from __future__ import annotations

from dataclasses import dataclass

import pytest

from sipbridge.handoffs.outcome import Result
from sipbridge.web.operators import tally
from sipbridge.web.operators.tally import Series, Tally

DONE = Series("call", "acme", "billing", Result.SUCCESS, "handed_off")
LOST = Series("call", "acme", "billing", Result.UPSTREAM_ERROR, "agent_lost")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_outcomes_are_counted_for_an_hour() -> None:
    clock = Clock()
    counts = Tally(clock)
    for series in (DONE, DONE, LOST):
        counts.count(series)
    clock.now = 59 * 60 + 59
    counts.count(DONE)
    assert counts.totals() == {DONE: 3, LOST: 1}
    clock.now = 60 * 60
    assert counts.totals() == {DONE: 1}
    clock.now = 3 * 60 * 60
    assert counts.totals() == {}


def test_the_newest_outcome_of_a_part_is_kept_while_it_has_one_within_the_hour() -> None:
    clock = Clock()
    counts = Tally(clock)
    agent = Series("agent", "acme", "billing", Result.UPSTREAM_ERROR, "no_answer")
    for series in (DONE, LOST, agent, DONE):
        counts.count(series)
    assert [latest.series for latest in counts.latest()] == [DONE, agent]
    clock.now = 60 * 60
    counts.count(LOST)
    assert [latest.series for latest in counts.latest()] == [LOST]


def test_reasons_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_SERIES", 2)
    counts = Tally(Clock())
    for reason in ("a", "b", "c", "d", "a"):
        counts.count(DONE._replace(reason=reason))
    assert {series.reason: count for series, count in counts.totals().items()} == {"a": 2, "b": 1, "other": 2}
