from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.counts import Row
from tests.soak.soak import soak


@pytest.mark.timeout(150)
def test_calls_of_every_kind_and_faults_leave_nothing_behind_and_all_counts_agree(tmp_path: Path) -> None:
    said: list[str] = []
    verdict = soak(tmp_path, 6, rate=8, seed=7, say=said.append)
    assert [str(row) for row in verdict.rows if not row.agrees] == [], verdict.errors
    assert not verdict.has_left_something, (verdict.before, verdict.after)
    assert sum(verdict.faults.values()) > 5
    assert verdict.is_clean


def test_a_count_that_differs_is_reported() -> None:
    assert Row("calls", {"SIPp": 3, "records": 3}).agrees
    assert not Row("calls", {"SIPp": 3, "records": 2}).agrees
