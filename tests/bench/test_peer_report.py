from __future__ import annotations

import pytest

from tests.bench.test_media_limits import level

from .load import LoadResult, Quantiles
from .peer_report import ASTERISK, SIPBRIDGE, AudioRun, Figure, HandoffRun, Report, figures, print_report

VERSIONS = {SIPBRIDGE: "sipbridge 0.1.0", ASTERISK: "Asterisk 22"}


def handoffs(system: str, rate: int, cpu_ms: float, failed: int = 0) -> HandoffRun:
    times = Quantiles(cpu_ms / 2, cpu_ms, cpu_ms)
    return HandoffRun(system, LoadResult(rate, 200, failed, 0, times, times, cpu_ms))


def of(report: Report, name: str) -> list[Figure]:
    return [figure for figure in figures(report) if figure.name == name]


def test_a_figure_is_the_median_of_the_rounds_and_the_ratio_that_of_the_medians() -> None:
    runs = [handoffs(SIPBRIDGE, 50, cpu) for cpu in (2, 9, 1)] + [handoffs(ASTERISK, 50, cpu) for cpu in (5, 3, 4)]
    (figure,) = of(Report(VERSIONS, 2, 3, runs), "CPU per handoff, ms")
    assert (figure.level, figure.sipbridge, figure.asterisk, figure.ratio) == ("50 handoffs per second", 2, 4, 2)


def test_each_rate_is_compared_on_its_own() -> None:
    runs = [handoffs(system, rate, rate / 100) for rate in (50, 200) for system in (SIPBRIDGE, ASTERISK)]
    found = of(Report(VERSIONS, 2, 1, runs), "CPU per handoff, ms")
    assert [(figure.level, figure.sipbridge) for figure in found] == [
        ("50 handoffs per second", 0.5),
        ("200 handoffs per second", 2),
    ]


def test_failed_calls_are_a_percentage_and_without_any_there_is_no_ratio() -> None:
    runs = [handoffs(SIPBRIDGE, 50, 1), handoffs(ASTERISK, 50, 1, failed=5)]
    (figure,) = of(Report(VERSIONS, 2, 1, runs), "failed, % of the calls")
    assert (figure.sipbridge, figure.asterisk, figure.ratio) == (0, 2.5, None)
    assert figure.as_json()["ratio"] is None


def test_audio_is_compared_by_its_round_trip_and_its_cost() -> None:
    runs = [AudioRun(SIPBRIDGE, level("echo", cpu=0.1)), AudioRun(ASTERISK, level("echo", cpu=0.25))]
    report = Report(VERSIONS, 2, 1, audio=runs)
    (cpu,) = of(report, "CPU per call, % of a core")
    assert cpu.level == "100 calls with an echo"
    assert cpu.ratio == pytest.approx(2.5)
    (trip,) = of(report, "round trip p99, ms")
    assert (trip.sipbridge, trip.ratio) == (44, 1)


def test_the_table_has_both_systems_and_the_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report(VERSIONS, 2, 1, [handoffs(SIPBRIDGE, 50, 2), handoffs(ASTERISK, 50, 3)]))
    text = capsys.readouterr().out
    assert "sipbridge 0.1.0 and Asterisk 22 in turn, medians of 1 rounds" in text
    assert ["CPU", "per", "handoff,", "ms", "2.000", "3.000", "1.50"] in [line.split() for line in text.splitlines()]
