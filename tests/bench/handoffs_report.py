"""The results of the benchmark of handoffs, and their presentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.harness.threads import NO_USAGE, ThreadUsage

from .load import LoadResult, Quantiles
from .python_build import python_build

CPU_MS_PER_HANDOFF = {50: 2.4, 200: 1.3, 500: 1.0}  # by handoffs per second
SETUP_P50_MS, SETUP_P95_MS = 1, 3  # at _LIMITS_RATE
MORE_CPU_MS_WITH_REDIS = 0.25  # at 200 per second
MB_AT_REST = 150
MB_PER_HELD_CALL = 0.2
_ALL = "all"
_SHOWN_MS = 0.005  # per handoff: threads that use less are not shown
_NO_FAILURE_RATE = 900
_LIMITS_RATE = 200
_HEADING = """\
                   failed   failed              INVITE to 200        ACK to REFER          CPU
           per s  (trunk) (metric)  resent    p50    p95    p99    p50    p95    p99  per call
"""


@dataclass(frozen=True, slots=True)
class Handoffs:
    """Handoffs at one rate: what the trunk measured, and how many of them the bridge's metrics miss."""

    load: LoadResult
    failed_by_metrics: int


@dataclass(frozen=True, slots=True)
class Held:
    """Calls held with audio: memory in megabytes, processor time in percent of one core while all are held."""

    calls: int
    failed: int
    setup: Quantiles
    rss_at_rest_mb: float
    rss_per_call_mb: float
    cpu_percent_of_a_core: float


@dataclass
class Report:
    """All results: with SQLite, with Redis if asked for, and a `baseline`, a SIPp that sends fixed responses."""

    cores: int
    handoffs: list[Handoffs] = field(default_factory=list)
    redis: list[Handoffs] = field(default_factory=list)
    baseline: list[LoadResult] = field(default_factory=list)
    held: Held | None = None


def print_report(report: Report) -> None:
    """Print the table, and the limits that were met or missed."""
    write = sys.stdout.write
    write(f"\nComplete handoffs, times in milliseconds; trunk and simulator share the {report.cores} cores\n")
    write(f"{python_build()}\n\n")
    write(_HEADING)
    for each in report.handoffs:
        write(_row("sipbridge", each.load, str(each.failed_by_metrics)))
    for each in report.redis:
        write(_row("with Redis", each.load, str(each.failed_by_metrics)))
    for load in report.baseline:
        write(_row("SIPp alone", load, ""))
    _print_threads(report.handoffs)
    held = report.held
    if held:
        write(
            f"\n{held.calls} calls held with audio: {held.failed} failed, INVITE to 200 p95 {held.setup.p95:g} ms, "
            f"{held.rss_at_rest_mb:.0f} MB at rest, {held.rss_per_call_mb:.3f} MB per call, "
            f"{held.cpu_percent_of_a_core:.0f} % of a core\n"
        )
    write("\n")
    for met, text in _limits(report):
        write(f"  {'met   ' if met else 'MISSED'}  {text}\n")


def _print_threads(handoffs: list[Handoffs]) -> None:
    """Print the threads of the bridge, the busiest first, and their sum."""
    write = sys.stdout.write
    columns = [each.load.threads | {_ALL: sum(each.load.threads.values(), NO_USAGE)} for each in handoffs]
    most = {name: max(column[name].cpu_ms for column in columns if name in column) for name in set().union(*columns)}
    rates = "".join(f"{each.load.rate:>16}/s" for each in handoffs)
    write(f"\nThe bridge's threads, per handoff: ms CPU, waits, preemptions\n\n{'':16}{rates}\n")
    for name in sorted(most, key=lambda name: most[name] * (name != _ALL), reverse=True):
        if most[name] >= _SHOWN_MS:
            write(f"{name:16}{''.join(_thread(column.get(name, NO_USAGE)) for column in columns)}\n")


def _thread(usage: ThreadUsage) -> str:
    return f"{usage.cpu_ms:>8.2f}{usage.waits:>5.1f}{usage.preemptions:>5.1f}"


def _row(who: str, load: LoadResult, failed_by_metrics: str) -> str:
    times = "".join(f"{value:>7.1f}" for q in (load.setup, load.refer) for value in (q.p50, q.p95, q.p99))
    return (
        f"{who:10}{load.rate:>6}{load.failed:>9}{failed_by_metrics:>9}{load.retransmissions:>8}{times}"
        f"{load.cpu_ms_per_call:>10.2f}\n"
    )


def _limits(report: Report) -> Iterator[tuple[bool, str]]:
    """Compare the report with the limits that apply to it."""
    for each in report.handoffs:
        load = each.load
        if load.rate == _NO_FAILURE_RATE:
            failed = max(load.failed, each.failed_by_metrics)
            yield failed == 0, f"no failure at {load.rate}/s: {failed} of {load.calls}"
        if most := CPU_MS_PER_HANDOFF.get(load.rate):
            cpu = load.cpu_ms_per_call
            yield cpu <= most, f"{most} ms CPU per handoff at {load.rate}/s: {cpu:.2f}"
        if load.rate == _LIMITS_RATE:
            p50, p95 = load.setup.p50, load.setup.p95
            text = (
                f"INVITE to 200 p50 / p95 of {SETUP_P50_MS} / {SETUP_P95_MS} ms at {load.rate}/s: {p50:.1f} / {p95:.1f}"
            )
            yield p50 <= SETUP_P50_MS and p95 <= SETUP_P95_MS, text
    for sqlite, redis in zip(report.handoffs, report.redis, strict=False):
        if redis.load.rate == _LIMITS_RATE:
            more = redis.load.cpu_ms_per_call - sqlite.load.cpu_ms_per_call
            text = f"{MORE_CPU_MS_WITH_REDIS} ms more CPU per handoff with Redis at {redis.load.rate}/s: {more:.2f}"
            yield more <= MORE_CPU_MS_WITH_REDIS, text
    held = report.held
    if held:
        yield held.failed == 0, f"no failure of {held.calls} held calls: {held.failed}"
        yield (
            held.rss_per_call_mb <= MB_PER_HELD_CALL,
            f"{MB_PER_HELD_CALL} MB per held call: {held.rss_per_call_mb:.3f}",
        )
        yield held.rss_at_rest_mb <= MB_AT_REST, f"{MB_AT_REST} MB at rest: {held.rss_at_rest_mb:.0f}"
