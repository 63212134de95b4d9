"""The presentation of the audio benchmark's results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from .media_limits import compare
from .media_results import NAMES, ROUND_TRIP, TO_AGENT, TO_CALLER, Level, Report
from .python_build import python_build

_SATURATED_PERCENT = 90.0
_COST_HEADING = """\
                   bridge, % of a core         MB of memory    others, % of a core   machine, % of all cores
           calls   idle   busy  per call    idle   per call     callers    agents    in use  stolen   other
"""


def print_report(report: Report) -> None:
    """Print the tables, the limits that were met or missed, and the levels at which the machine was the limit."""
    write = sys.stdout.write
    write(f"\nCalls with audio for {report.seconds:g} s, delays in milliseconds; {python_build()}\n")
    for ways in ((TO_AGENT, TO_CALLER), (ROUND_TRIP,)):
        levels = [level for level in report.levels if tuple(level.ways) == ways]
        if levels:
            write(_audio_heading(ways))
        for level in levels:
            write(_audio_row(level))
    write(f"\nTheir cost; callers and agents share the {report.cores} cores\n\n{_COST_HEADING}")
    for level in report.levels:
        write(_cost_row(level))
    write("\n")
    for level in report.levels:
        for met, text in compare(level):
            write(f"  {'met   ' if met else 'MISSED'}  {text}\n")
    for note in saturation(report.levels):
        write(f"  note    {note}\n")


def _audio_heading(ways: tuple[str, ...]) -> str:
    columns = f"{'lost %':>10}{'late %':>8}{'altered %':>11}{'p50':>6}{'p99':>6}"
    names = "".join(f"{way:^{len(columns)}}" for way in ways)
    return f"\n{'':24}{names.rstrip()}\n{'':10}{'calls':>6}{'failed':>8}{columns * len(ways)}\n"


def _audio_row(level: Level) -> str:
    ways = "".join(
        f"{way.lost_percent:>10.3f}{way.late_percent:>8.3f}{way.altered_percent:>11.3f}{way.delay_p50_ms:>6.1f}{way.delay_p99_ms:>6.1f}"
        for way in level.ways.values()
    )
    return f"{NAMES[level.kind]:10}{level.calls:>6}{level.failed:>8}{ways}\n"


def _cost_row(level: Level) -> str:
    return (
        f"{NAMES[level.kind]:10}{level.calls:>6}"
        f"{level.bridge_idle_percent:>7.1f}{level.bridge_percent:>7.1f}{level.cpu_percent_per_call:>9.3f}"
        f"{level.rss_idle_mb:>9.0f}{level.rss_per_call_mb:>11.3f}"
        f"{level.callers_percent:>12.0f}{level.agents_percent:>10.0f}"
        f"{level.machine_busy_percent:>10.0f}{level.machine_stolen_percent:>8.0f}{level.machine_other_percent:>8.0f}\n"
    )


def saturation(levels: Iterable[Level]) -> Iterator[str]:
    """Say at which levels the figures are the machine's, not those of the measured program."""
    for level in levels:
        name = f"{level.calls} {NAMES[level.kind]}"
        if level.machine_busy_percent > _SATURATED_PERCENT:
            other = f"{level.machine_other_percent:.0f} % by other programs"
            yield f"the machine was the limit with {name}: {level.machine_busy_percent:.0f} % of it was in use, {other}"
        if level.generators_dropped:
            yield f"callers or agents were too slow with {name} and lost {level.generators_dropped} packets themselves"
