from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import bench


def test_the_benchmark_measures_both_sides_and_writes_all_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench.json"
    options = ["--rates", "10", "--seconds", "1", "--held", "5", "--held-seconds", "3", "--output", str(file)]
    assert bench.main(options) == 0
    figures = json.loads(file.read_text())
    (handoffs,) = figures["handoffs"]
    assert (handoffs["load"]["calls"], handoffs["load"]["failed"], handoffs["failed_by_metrics"]) == (10, 0, 0)
    assert handoffs["load"]["cpu_ms_per_call"] > 0
    assert handoffs["load"]["refer"]["p99"] >= handoffs["load"]["refer"]["p50"] >= 0
    assert figures["floor"][0]["failed"] == 0
    assert (figures["held"]["calls"], figures["held"]["failed"]) == (5, 0)
    assert "SIPp alone" in capsys.readouterr().out
