"""The limits of the benchmark of several nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .cluster_report import Command, Report, compare, print_report
from .load import Quantiles

FAST = Quantiles(1, 2, 3)
GOOD = Report([Command("GET detail", FAST, FAST)], FAST, 2100, 100, 31.5, 100)


def missed(report: Report) -> list[str]:
    return [text.rpartition(": ")[0] for met, text in compare(report) if not met]


def test_good_figures_meet_all_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_report(GOOD)
    assert "MISSED" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("report", "limit"),
    [
        (replace(GOOD, commands=[Command("GET detail", FAST, Quantiles(1, 2, 10))]), "GET detail forwarded, p99"),
        (replace(GOOD, draining_ms=Quantiles(50, 60, 70)), "a call that a draining node rejects"),
        (replace(GOOD, dead_ms=4000), "a call that goes to a dead node first"),
        (replace(GOOD, takeover_seconds=45.1), "takeover of 100 calls"),
        (replace(GOOD, signalled=99), "each of them signalled once"),
        (replace(GOOD, signalled_twice=1), "each of them signalled once"),
        (Report(), "a call that a draining node rejects"),
    ],
)
def test_each_limit_is_missed_on_its_own(report: Report, limit: str) -> None:
    found = missed(report)
    assert found[0].startswith(limit)
    assert len(found) == 1 or report == Report(), "what was not measured is not met"
