"""The results of the comparison with a peer, and their presentation."""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from .load import LoadResult
from .media_report import saturation
from .media_results import ROUND_TRIP, Direction, Level
from .python_build import python_build

SIPBRIDGE, ASTERISK = "sipbridge", "Asterisk"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HandoffRun:
    """Handoffs at one rate."""

    system: str
    load: LoadResult


@dataclass(frozen=True, slots=True)
class AudioRun:
    """Simultaneous calls whose agents return the audio."""

    system: str
    level: Level


@dataclass
class Report:
    """All results; `versions` are the names and versions of both systems."""

    versions: dict[str, str]
    cores: int
    rounds: int
    handoffs: list[HandoffRun] = field(default_factory=list)
    audio: list[AudioRun] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of both systems at one level, each the median of the rounds."""

    level: str
    name: str
    sipbridge: float
    asterisk: float

    @property
    def ratio(self) -> float | None:
        """Asterisk's part of sipbridge's: over 1, sipbridge needs less. None if sipbridge's is 0."""
        return self.asterisk / self.sipbridge if self.sipbridge else None

    def as_json(self) -> dict[str, Any]:
        """The values for the report's file."""
        return asdict(self) | {"ratio": self.ratio}


def figures(report: Report) -> list[Figure]:
    """Return all measures, by level."""
    of_handoffs: dict[str, Callable[[HandoffRun], float]] = {
        "CPU per handoff, ms": lambda run: run.load.cpu_ms_per_call,
        "INVITE to 200 p50, ms": lambda run: run.load.setup.p50,
        "INVITE to 200 p95, ms": lambda run: run.load.setup.p95,
        "failed, % of the calls": lambda run: 100 * run.load.failed / run.load.calls,
    }
    of_audio: dict[str, Callable[[AudioRun], float]] = {
        "round trip p50, ms": lambda run: _round_trip(run).delay_p50_ms,
        "round trip p99, ms": lambda run: _round_trip(run).delay_p99_ms,
        "CPU per call, % of a core": lambda run: run.level.cpu_percent_per_call,
        "memory per call, MB": lambda run: run.level.rss_per_call_mb,
        "frames lost, late or altered, %": lambda run: _harmed_percent(_round_trip(run)),
        "failed, % of the calls": lambda run: 100 * run.level.failed / run.level.calls,
    }
    by_rate = _group(report.handoffs, lambda run: f"{run.load.rate} handoffs per second")
    by_calls = _group(report.audio, lambda run: f"{run.level.calls} calls with an echo")
    return [
        *itertools.chain.from_iterable(_compare(level, runs, of_handoffs) for level, runs in by_rate.items()),
        *itertools.chain.from_iterable(_compare(level, runs, of_audio) for level, runs in by_calls.items()),
    ]


def _round_trip(run: AudioRun) -> Direction:
    return run.level.ways[ROUND_TRIP]


def _harmed_percent(way: Direction) -> float:
    return way.lost_percent + way.late_percent + way.altered_percent


def _group(runs: Iterable[T], level_of: Callable[[T], str]) -> dict[str, list[T]]:
    levels: dict[str, list[T]] = {}
    for run in runs:
        levels.setdefault(level_of(run), []).append(run)
    return levels


R = TypeVar("R", HandoffRun, AudioRun)


def _compare(level: str, runs: list[R], measures: dict[str, Callable[[R], float]]) -> Iterator[Figure]:
    for name, measure in measures.items():
        medians = {
            system: statistics.median(measure(run) for run in runs if run.system == system)
            for system in (SIPBRIDGE, ASTERISK)
        }
        yield Figure(level, name, medians[SIPBRIDGE], medians[ASTERISK])


def print_report(report: Report) -> None:
    """Print the table, and the levels at which the machine was the limit."""
    write = sys.stdout.write
    names = " and ".join(report.versions.values())
    write(f"\n{names} in turn, medians of {report.rounds} rounds; all programs share the {report.cores} cores\n")
    write(f"{python_build()}\n")
    for level, found in itertools.groupby(figures(report), key=lambda figure: figure.level):
        write(f"\n{level:36}{SIPBRIDGE:>12}{ASTERISK:>12}{'ratio':>10}\n")
        for figure in found:
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            write(f"  {figure.name:34}{figure.sipbridge:>12.3f}{figure.asterisk:>12.3f}{ratio:>10}\n")
    write("\nratio: Asterisk's figure divided by sipbridge's\n")
    for run in report.audio:
        for note in saturation([run.level]):
            write(f"note: {run.system}: {note}\n")
