"""The results of the audio benchmark, and their presentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.harness.media.quality import Quality

CPU_PERCENT_PER_CALL = {"sip": 0.35, "websocket": 0.45}
LOST_OR_LATE_PERCENT = 0.1
DELAY_P99_MS = 60.0
_AUDIO_LIMIT_CALLS = 100
_SATURATED_PERCENT = 90.0
_NAMES = {"sip": "SIP pairs", "websocket": "WebSocket"}
_AUDIO_HEADING = """\
                            caller to agent                          agent to caller
           calls  failed    lost %  late %  altered %   p50   p99    lost %  late %  altered %   p50   p99
"""
_COST_HEADING = """\
                   bridge, % of a core         MB of memory    others, % of a core   machine, % of all cores
           calls   idle   busy  per call    idle   per call     callers    agents    in use  stolen   other
"""


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of all calls: frames of 20 ms, delays in milliseconds."""

    sent: int
    lost: int
    repeated: int
    out_of_order: int
    late: int
    altered: int
    delay_p50_ms: float
    delay_p99_ms: float

    @classmethod
    def of(cls, quality: Quality) -> Direction:
        """Summarise the quality."""
        return cls(
            quality.sent,
            quality.lost,
            quality.repeated,
            quality.out_of_order,
            quality.late,
            quality.altered,
            quality.delay_ms(50),
            quality.delay_ms(99),
        )

    @property
    def lost_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.lost / max(1, self.sent)

    @property
    def late_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.late / max(1, self.sent)

    @property
    def altered_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.altered / max(1, self.sent)


@dataclass(frozen=True, slots=True)
class Level:
    """Simultaneous calls with audio in both directions; processor time in percent of one core, the machine's of all.

    The machine's `other` is the time that neither the bridge nor its callers and agents used.
    """

    kind: str
    calls: int
    failed: int
    bridge_idle_percent: float
    bridge_percent: float
    callers_percent: float
    agents_percent: float
    machine_busy_percent: float
    machine_stolen_percent: float
    machine_other_percent: float
    rss_idle_mb: float
    rss_per_call_mb: float
    to_agent: Direction
    to_caller: Direction
    generators_unevenness_p99_ms: float
    generators_dropped: int

    @property
    def cpu_percent_per_call(self) -> float:
        """In percent of one core, without the idle bridge's own part."""
        return self.bridge_percent / self.calls


@dataclass
class Report:
    """All results."""

    cores: int
    seconds: float
    levels: list[Level] = field(default_factory=list)


def print_report(report: Report) -> None:
    """Print the tables, the limits that were met or missed, and where the machine was the limit."""
    write = sys.stdout.write
    write(f"\nCalls with audio in both directions for {report.seconds:g} s, delays in milliseconds\n\n{_AUDIO_HEADING}")
    for level in report.levels:
        write(_audio_row(level))
    write(f"\nTheir cost; callers and agents share the {report.cores} cores\n\n{_COST_HEADING}")
    for level in report.levels:
        write(_cost_row(level))
    write("\n")
    for level in report.levels:
        for met, text in _limits(level):
            write(f"  {'met   ' if met else 'MISSED'}  {text}\n")
    for note in _notes(report):
        write(f"  note    {note}\n")


def _audio_row(level: Level) -> str:
    ways = "".join(
        f"{way.lost_percent:>10.3f}{way.late_percent:>8.3f}{way.altered_percent:>11.3f}{way.delay_p50_ms:>6.1f}{way.delay_p99_ms:>6.1f}"
        for way in (level.to_agent, level.to_caller)
    )
    return f"{_NAMES[level.kind]:10}{level.calls:>6}{level.failed:>8}{ways}\n"


def _cost_row(level: Level) -> str:
    return (
        f"{_NAMES[level.kind]:10}{level.calls:>6}"
        f"{level.bridge_idle_percent:>7.1f}{level.bridge_percent:>7.1f}{level.cpu_percent_per_call:>9.3f}"
        f"{level.rss_idle_mb:>9.0f}{level.rss_per_call_mb:>11.3f}"
        f"{level.callers_percent:>12.0f}{level.agents_percent:>10.0f}"
        f"{level.machine_busy_percent:>10.0f}{level.machine_stolen_percent:>8.0f}{level.machine_other_percent:>8.0f}\n"
    )


def _limits(level: Level) -> Iterator[tuple[bool, str]]:
    name = f"{level.calls} {_NAMES[level.kind]}"
    cpu, most = level.cpu_percent_per_call, CPU_PERCENT_PER_CALL[level.kind]
    yield cpu <= most, f"{most} % of a core per call, {name}: {cpu:.3f}"
    ways = (level.to_agent, level.to_caller)
    if level.calls == _AUDIO_LIMIT_CALLS:
        worst = max(way.lost_percent + way.late_percent for way in ways)
        yield (
            worst < LOST_OR_LATE_PERCENT,
            f"under {LOST_OR_LATE_PERCENT} % of frames lost or late, {name}: {worst:.3f}",
        )
    delay = max(way.delay_p99_ms for way in ways)
    yield delay < DELAY_P99_MS, f"p99 of the delay under {DELAY_P99_MS:g} ms, {name}: {delay:.1f}"
    if level.failed:
        yield False, f"no failure, {name}: {level.failed}"


def _notes(report: Report) -> Iterator[str]:
    for level in report.levels:
        name = f"{level.calls} {_NAMES[level.kind]}"
        if level.machine_busy_percent > _SATURATED_PERCENT:
            other = f"{level.machine_other_percent:.0f} % by other programs"
            yield f"the machine was the limit with {name}: {level.machine_busy_percent:.0f} % of it was in use, {other}"
        if level.generators_dropped:
            yield f"callers or agents were too slow with {name} and lost {level.generators_dropped} packets themselves"
