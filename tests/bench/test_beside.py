from __future__ import annotations

from tests.harness.threads import ThreadUsage

from .beside import Round, report
from .load import LoadResult, Quantiles

TIMES = Quantiles(1, 2, 3)


def load(sip_ms: float, failed: int = 0) -> LoadResult:
    threads = {"sip": ThreadUsage(sip_ms, 8, 0), "event loop": ThreadUsage(2, 10, 0), "idle": ThreadUsage(0, 0, 0)}
    return LoadResult(50, 300, failed, 0, TIMES, TIMES, sip_ms + 2, threads)


def test_the_rounds_are_compared_one_by_one_and_the_threads_by_their_means() -> None:
    text = report([Round(load(4), load(2)), Round(load(4, failed=3), load(4))])
    assert "in each round: 0.667 1.000; failed: 3 and 0" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("sip", "event loop", "idle", "all"))]
    assert rows == [
        ["sip", "4.000", "8.0", "3.000", "8.0", "0.750"],
        ["event", "loop", "2.000", "10.0", "2.000", "10.0", "1.000"],
        ["all", "6.000", "5.000", "0.833"],
    ]
