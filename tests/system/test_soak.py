from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.counts import Row
from tests.soak.soak import soak


@pytest.mark.timeout(150)
def test_calls_of_every_kind_and_faults_leave_nothing_behind_and_all_counts_agree(tmp_path: Path) -> None:
    reports: list[str] = []
    result = soak(tmp_path, 6, rate=8, seed=7, report=reports.append)
    assert [str(row) for row in result.rows if not row.agrees] == [], result.errors
    assert not result.has_leaked, (result.before, result.after)
    assert sum(result.faults.values()) > 5
    assert result.is_clean


def test_a_count_that_differs_is_reported() -> None:
    assert Row("calls", {"SIPp": 3, "records": 3}).agrees
    assert not Row("calls", {"SIPp": 3, "records": 2}).agrees
