"""The times of calls that met a dead node, or one that rejected them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from .callers import Caller
from .counts import Counts
from .detours import DEAD_SECONDS, FEW, REJECTED_SECONDS, count_detours

DEAD_UNTIL = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 (SIPp logs local time)
FIRST, SECOND = "sip:127.0.0.4:5060", "sip:127.0.0.5:5060"
SILENT = " 2(31) WARNING: <script>: call {}: node {} is silent\n"
REJECTS = " 1(30) NOTICE: <script>: call {}: node {} rejects it\n"
NEXT = " 1(30) NOTICE: <script>: call {}: next node, sip:127.0.0.6:5060\n"


class Calls:
    """Calls, and what the proxy logged of them. The first node was dead until `DEAD_UNTIL`."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.log = ""

    def add(self, seconds: float, *lines: tuple[str, str], invited_at: datetime = DEAD_UNTIL, status: int = 200) -> str:
        """Add a call, with the lines about its nodes; return its contact."""
        number = len(self.callers)
        call_id, contact = f"{number}-9@127.0.0.1", f"contact-{number}"
        self.callers.append(Caller(contact, call_id, invited_at, status, seconds))
        self.log += "".join(line.format(call_id, node) + NEXT.format(call_id) for line, node in lines)
        return contact

    def count(self) -> Counts:
        """Count them."""
        counts = Counts()
        count_detours(counts, self.callers, self.log, _was_up)
        return counts


def _was_up(node: str, at: float) -> bool:
    return node != FIRST or at >= DEAD_UNTIL.timestamp()


@pytest.fixture
def calls() -> Calls:
    """Some calls without a detour."""
    calls = Calls()
    for _ in range(FEW):
        calls.add(0.01)
    return calls


def test_calls_without_a_detour_have_no_facts(calls: Calls) -> None:
    counts = calls.count()
    assert (counts.facts, counts.late) == ({}, [])


@pytest.mark.parametrize("nodes", [[FIRST], [FIRST, SECOND]])
def test_a_call_that_met_dead_nodes_has_the_same_limit_however_many(calls: Calls, nodes: list[str]) -> None:
    calls.add(DEAD_SECONDS, *((SILENT, node) for node in nodes))
    assert calls.count().late == []
    late = calls.add(DEAD_SECONDS + 0.1, *((SILENT, node) for node in nodes))
    counts = calls.count()
    assert [breach.ids for breach in counts.late] == [[late]]
    several = 2 if len(nodes) > 1 else 0
    assert counts.facts == {"INVITE to 200, after a dead node": f"2 calls ({several} after several), 4.10 s at most"}


def test_a_call_that_was_never_answered_has_no_time(calls: Calls) -> None:
    calls.add(DEAD_SECONDS + 0.1, (SILENT, FIRST), status=503)
    counts = calls.count()
    assert (counts.facts, counts.late) == ({}, [])


def test_rejections_may_cost_a_little(calls: Calls) -> None:
    for _ in range(FEW):
        calls.add(0.01 + 0.9 * REJECTED_SECONDS, (REJECTS, FIRST))
    counts = calls.count()
    assert counts.late == []
    assert counts.facts == {"INVITE to 200, after a rejection": "5 calls, median 55 ms (others 10 ms)"}


def test_rejections_that_cost_more_are_late_if_they_are_not_few(calls: Calls) -> None:
    for number in range(FEW):
        assert calls.count().late == [], f"{number} say nothing"
        calls.add(0.01 + 1.1 * REJECTED_SECONDS, (REJECTS, FIRST))
    assert [breach.rule for breach in calls.count().late] == ["a rejection costs too much"]


def test_a_node_that_was_dead_at_the_invite_and_rejects_its_repetition_counts_as_dead(calls: Calls) -> None:
    for _ in range(FEW):
        calls.add(1.5, (REJECTS, FIRST), invited_at=DEAD_UNTIL - timedelta(seconds=1))
    counts = calls.count()
    assert counts.late == []
    assert counts.facts == {"INVITE to 200, after a dead node": "5 calls (0 after several), 1.50 s at most"}


def test_a_call_with_a_dead_and_a_rejecting_node_counts_as_one_with_a_dead_node(calls: Calls) -> None:
    calls.add(2.1, (SILENT, FIRST), (REJECTS, SECOND))
    assert calls.count().facts == {"INVITE to 200, after a dead node": "1 calls (0 after several), 2.10 s at most"}
