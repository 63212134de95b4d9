from __future__ import annotations

from dataclasses import replace

import pytest

from .media_limits import compare
from .media_report import print_report
from .media_results import ROUND_TRIP, TO_AGENT, TO_CALLER, Direction, Level, Report

FAST = Direction(sent=10_000, lost=0, repeated=0, out_of_order=0, late=0, altered=0, delay_p50_ms=2.5, delay_p99_ms=7.5)
ECHO = replace(FAST, delay_p50_ms=29, delay_p99_ms=44)


def level(kind: str = "websocket", calls: int = 100, *, failed: int = 0, cpu: float = 0.08, **ways: Direction) -> Level:
    named = {{"to_agent": TO_AGENT, "to_caller": TO_CALLER, "round_trip": ROUND_TRIP}[way]: ways[way] for way in ways}
    return Level(
        kind=kind,
        calls=calls,
        failed=failed,
        bridge_idle_percent=1,
        bridge_percent=cpu * calls,
        callers_percent=5,
        agents_percent=5,
        machine_busy_percent=30,
        machine_stolen_percent=0,
        machine_other_percent=0,
        rss_idle_mb=100,
        rss_per_call_mb=0.09,
        ways=named or ({ROUND_TRIP: ECHO} if kind == "echo" else {TO_AGENT: FAST, TO_CALLER: FAST}),
        generators_unevenness_p99_ms=0,
        generators_dropped=0,
    )


def missed(of: Level) -> list[str]:
    return [text for met, text in compare(of) if not met]


@pytest.mark.parametrize("kind", ["sip", "websocket", "echo"])
@pytest.mark.parametrize("calls", [100, 400])
def test_good_calls_meet_all_limits(kind: str, calls: int) -> None:
    assert missed(level(kind, calls)) == []


def test_a_frame_lost_or_altered_misses_the_limit() -> None:
    harmed = replace(FAST, lost=1, altered=2)
    assert missed(level(to_agent=harmed)) == ["no frame lost or altered, 100 WebSocket to the agent: 3 of 10000"]


def test_more_frames_may_be_late_with_many_calls() -> None:
    late = replace(ECHO, late=7)
    assert missed(level("echo", 200, round_trip=late)) == ["under 0.05 % of frames late, 200 echoes round trip: 0.070"]
    assert missed(level("echo", 400, round_trip=late)) == []


def test_the_round_trip_may_be_longer_with_many_calls() -> None:
    slow = replace(ECHO, delay_p50_ms=34, delay_p99_ms=59)
    assert missed(level("echo", 200, round_trip=slow)) == [
        "delay p50 / p99 of 30 / 45 ms, 200 echoes round trip: 34.0 / 59.0"
    ]
    assert missed(level("echo", 400, round_trip=slow)) == []
    assert missed(level("echo", 400, round_trip=replace(slow, delay_p99_ms=61)))


def test_a_failed_call_misses_the_limit_at_any_number() -> None:
    assert missed(level(calls=400, failed=1)) == ["no failed call, 400 WebSocket: 1"]


def test_the_cost_per_call_is_limited_by_kind() -> None:
    assert missed(level("sip", cpu=0.1)) == ["0.09 % of a core per call, 100 SIP pairs: 0.100"]
    assert missed(level("websocket", cpu=0.1)) == []


def test_two_way_calls_and_echoes_have_tables_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report(2, 30, [level(), level("echo")]))
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(("WebSocket", "echoes"))]
    assert [len(row) for row in rows] == [13, 8, 12, 12]
    assert rows[1] == ["echoes", "100", "0", "0.000", "0.000", "0.000", "29.0", "44.0"]
