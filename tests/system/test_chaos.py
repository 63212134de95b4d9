"""The short form of `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos import run_phases
from tests.chaos.run import Plan

SHORT = Plan(
    calls_per_second=6, chats=6, chat_pause_seconds=0.5, kills=3, stop_seconds=6, pace=0.3, lease_seconds=2, seed=1
)


@pytest.mark.timeout(400)  # a minute on an idle machine
def test_nodes_that_are_harmed_lose_and_double_nothing(tmp_path: Path) -> None:
    reports: list[str] = []
    run = run_phases(tmp_path, ["kills", "stops", "failover", "isolation"], SHORT, reports.append)
    broken = [f"{phase}: {each}" for phase, counts in run.counts.items() for each in counts.breaches]
    assert not broken, "\n".join([*broken, *reports])
    assert run.cluster.chats.faults == []
    assert run.counts["kills"].saved > 0
    assert all(counts.signalled > 0 and counts.events > counts.signalled for counts in run.counts.values())
