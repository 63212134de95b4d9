from __future__ import annotations

import pytest

from tests.bench.chats_report import Audio, Beside, Calls, Cost
from tests.bench.media_results import Direction
from tests.bench.pages_report import Report, Updates, limits, print_report


def cost(cpu_ms: float) -> Cost:
    return Cost(cpu_ms, cpu_ms / 20, 50, 1)


def audio(late: int) -> Audio:
    way = Direction(10_000, 0, 0, 0, late, 0, 1.0, 2.0)
    return Audio(way, way, cost(100))


def report(view: float, update_ms: float, late: int, late_at_once: int) -> Report:
    updates = Updates(100, cost(100 * update_ms + 50)).without(Updates(0, cost(50)))
    beside = [Beside(audio(late), updates), Beside(audio(late_at_once), updates)]
    return Report(2, 500, 20, view, updates, Calls(100, 0, 0, audio(3), beside))


def test_a_run_within_the_limits_meets_them() -> None:
    assert [met for met, _ in limits(report(0.9, 0.19, 7, 7))] == [True] * 7


@pytest.mark.parametrize(
    ("values", "missed"),
    [((1.1, 0.1, 3, 3), 0), ((0.9, 0.21, 3, 3), 1), ((0.9, 0.1, 9, 3), 3), ((0.9, 0.1, 3, 9), 5)],
)
def test_a_limit_that_is_missed_is_printed(
    values: tuple[float, float, int, int], missed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not list(limits(report(*values)))[missed][0]
    print_report(report(*values))
    assert "MISSED" in capsys.readouterr().out
