from __future__ import annotations

import re

import pytest

from tests.harness.threads import ThreadUsage

from .handoffs_report import Handoffs, Report, print_report
from .load import LoadResult, Quantiles

FAST = Quantiles(0.94, 2.81, 3.07)


def handoffs(rate: int, cpu_ms: float, setup: Quantiles = FAST, failed: int = 0) -> Handoffs:
    threads = {
        "store-writer": ThreadUsage(0.2, 3, 0),
        "sip": ThreadUsage(0.75, 14.26, 1.5),
        "idle": ThreadUsage(0, 0, 0),
    }
    return Handoffs(LoadResult(rate, 1000, failed, 0, setup, FAST, cpu_ms, threads), failed_by_metrics=0)


def printed(capsys: pytest.CaptureFixture[str], *levels: Handoffs) -> str:
    print_report(Report(2, list(levels)))
    return capsys.readouterr().out


def test_times_have_tenths_of_a_millisecond(capsys: pytest.CaptureFixture[str]) -> None:
    assert "    0.9    2.8    3.1" in printed(capsys, handoffs(200, 1.2))


def test_the_report_names_the_build_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, handoffs(200, 1.2))
    assert re.search(r"^Python \d+\.\d+\.\d+, (not )?optimised$", text, re.MULTILINE)


def test_threads_are_shown_by_rate_the_busiest_first_and_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, handoffs(50, 2), handoffs(200, 1))
    rows = [line.split() for line in text.splitlines() if line.startswith(("sip ", "store-writer", "idle", "all"))]
    assert rows == [
        ["sip", "0.75", "14.3", "1.5", "0.75", "14.3", "1.5"],
        ["store-writer", "0.20", "3.0", "0.0", "0.20", "3.0", "0.0"],
        ["all", "0.95", "17.3", "1.5", "0.95", "17.3", "1.5"],
    ]


@pytest.mark.parametrize(("rate", "cpu_ms", "verdict"), [(50, 2.4, "met"), (200, 1.4, "MISSED"), (500, 1.0, "met")])
def test_each_rate_has_its_own_limit_of_processor_time(
    rate: int, cpu_ms: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for line in printed(capsys, handoffs(rate, cpu_ms)).splitlines() if "CPU per handoff" in line]
    assert line.split()[0] == verdict


def test_the_setup_time_is_limited_at_both_percentiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert "met     INVITE to 200 p50 / p95 of 1 / 3 ms at 200/s: 0.9 / 2.8" in printed(capsys, handoffs(200, 1))
    slow = Quantiles(1.04, 2.8, 3.0)
    assert "MISSED  INVITE to 200 p50 / p95 of 1 / 3 ms" in printed(capsys, handoffs(200, 1, slow))


def test_a_failure_at_the_highest_rate_misses_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert "MISSED  no failure at 900/s: 2 of 1000" in printed(capsys, handoffs(900, 1, failed=2))
