from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.chats_report import Audio, Beside, Calls, Cost, Rate, Report, print_report, quantile
from tests.bench.media_results import Direction

GOOD = Direction(
    sent=10_000, lost=0, repeated=0, out_of_order=0, late=0, altered=0, delay_p50_ms=30.0, delay_p99_ms=40.0
)


def audio(to_agent: Direction = GOOD, to_caller: Direction = GOOD) -> Audio:
    return Audio(to_agent, to_caller, Cost(6000.0, 300.0, 60.0, 5.0))


def rate(per_second: int = 300, cpu_ms: float = 0.5, lost: int = 0, doubled: int = 0) -> Rate:
    delays = {"to_agent": {"p50": 5.0, "p99": 20.0}, "to_bot": {"p50": 6.0, "p99": 39.9}}
    return Rate(per_second, 6000, Cost(6000 * cpu_ms, cpu_ms * per_second, 60.0, 5.0), lost, doubled, delays)


def report(calls: Calls[Rate] | None = None) -> Report:
    return Report(cores=2, chats=1000, seconds=20, kb_per_chat=60, rates=[rate()], calls=calls)


def calls(
    beside: Audio, *, alone: Audio | None = None, messages: Rate | None = None, failed: int = 0, dropped: int = 0
) -> Calls[Rate]:
    return Calls(100, failed, dropped, alone or audio(), [Beside(beside, messages or rate(cpu_ms=1.5))])


def printed(of: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(of)
    return capsys.readouterr().out


def missed(of: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = printed(of, capsys).splitlines()
    return [line.removeprefix("  MISSED  ") for line in lines if line.startswith("  MISSED")]


def test_all_limits_are_met_at_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert missed(report(calls(audio())), capsys) == []


@pytest.mark.parametrize("way", ["to_agent", "to_caller"])
@pytest.mark.parametrize(("lost", "late", "found"), [(4, 5, []), (5, 5, ["0.100"]), (0, 10, ["0.100"])])
def test_frames_lost_and_late_beside_the_messages_count_together_in_the_worse_direction(
    way: str, lost: int, late: int, found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    beside = audio(**{way: replace(GOOD, lost=lost, late=late)})
    name = "% of frames lost or late, 100 calls beside 300 messages per second (alone: 0.000), under 0.1"
    assert missed(report(calls(beside)), capsys) == [f"{percent} {name}" for percent in found]


def test_the_calls_alone_are_a_baseline_without_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    alone = audio(to_agent=replace(GOOD, late=500))
    text = printed(report(calls(audio(), alone=alone)), capsys)
    assert "MISSED" not in text
    assert "0.000 % of frames lost or late, 100 calls beside 300 messages per second (alone: 5.000)" in text


def test_messages_beside_calls_must_arrive_but_their_processor_time_has_no_limit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_loss = calls(audio(), messages=rate(cpu_ms=9.0, lost=2, doubled=3))
    assert missed(report(with_loss), capsys) == ["messages lost: 2, must be 0", "messages doubled: 3, must be 0"]


def test_a_failed_call_misses_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert missed(report(calls(audio(), failed=1)), capsys) == ["calls failed: 1, must be 0"]


def test_packets_that_the_callers_themselves_lost_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(report(calls(audio(), dropped=7)), capsys)
    assert "note    callers or agents were too slow and lost 7 packets themselves" in text


def test_a_saturated_machine_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    slow = replace(audio(), cost=Cost(6000.0, 300.0, 95.0, 70.0))
    text = printed(report(calls(slow, alone=audio())), capsys)
    assert (
        "note    the machine was the limit with calls and messages: 95 % of it was in use, 70 % by other programs"
        in text
    )
    assert text.count("note") == 1


def test_the_messages_have_limits_without_calls(capsys: pytest.CaptureFixture[str]) -> None:
    bad = replace(report(), kb_per_chat=60.5, out_of_order=1, rejected=2)
    slow = rate(cpu_ms=0.7)
    slow.delays["to_bot"]["p99"] = 40.0
    bad.rates = [slow, rate(per_second=100, cpu_ms=0.6)]
    assert missed(bad, capsys) == [
        "events out of order: 1, must be 0",
        "requests rejected: 2, must be 0",
        "0.70 ms per message at 300 per second, at most 0.6",
        "delay p99 40.0 ms at 300 per second, under 40",
        "60 kB per held chat, at most 60",
    ]


def test_the_table_has_the_idle_processor_time_before_the_rates(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(replace(report(), idle=Cost(123.4, 12.34, 20.0, 15.0)), capsys).splitlines()
    idle = next(place for place, line in enumerate(lines) if line.split() == ["none", "12.3", "20", "15"])
    assert lines[idle + 1].split() == [
        "300",
        "6000",
        "0",
        "0",
        "5.0",
        "20.0",
        "6.0",
        "39.9",
        "0.50",
        "150.0",
        "60",
        "5",
    ]


def test_a_quantile_is_a_value_of_the_list() -> None:
    assert [quantile([1, 2, 3, 4], part) for part in (0, 0.5, 0.99, 1)] == [1, 3, 4, 4]
    assert quantile([], 0.5) == 0
