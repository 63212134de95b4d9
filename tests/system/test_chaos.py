"""The short form of `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos import Load, run_phases

LOAD = Load(calls_per_second=6, chats=6)


@pytest.mark.timeout(240)
def test_killed_nodes_lose_and_double_nothing(tmp_path: Path) -> None:
    reports: list[str] = []
    run = run_phases(tmp_path, ["kills"], LOAD, reports.append, kills=3, stop_seconds=8, seed=1)
    (counts,) = run.counts.values()
    assert [str(breach) for breach in counts.breaches] == []
    assert run.cluster.chats.problem == ""
    assert counts.saved > 0
    assert counts.signalled >= counts.saved
