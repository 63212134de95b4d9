"""The figures of `make bench-cluster` with their limits, and how they are printed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from .load import Quantiles

FORWARDED_P99_MS = 10.0
TAKEOVER_SECONDS = 45.0  # from SIGKILL, with the default lease
DEAD_MS = 4000.0
DRAINING_MS = 50.0


@dataclass(frozen=True, slots=True)
class Command:
    """One kind of request about a call, at its owner and at another node; in milliseconds."""

    name: str
    at_owner: Quantiles
    forwarded: Quantiles


@dataclass(slots=True)
class Report:
    """All figures. `dead_ms` and `draining_ms` are from INVITE to 200 of calls through the proxy."""

    commands: list[Command] = field(default_factory=list)
    draining_ms: Quantiles = Quantiles(math.nan, math.nan, math.nan)  # noqa: RUF009 (frozen)
    dead_ms: float = math.nan  # the slowest one
    calls_taken_over: int = 0
    takeover_seconds: float = math.nan
    signalled: int = 0
    signalled_twice: int = 0


def compare(report: Report) -> Iterator[tuple[bool, str]]:
    """Return for each limit: True if it was met, and a text with the value."""
    for command in report.commands:
        p99 = command.forwarded.p99
        yield p99 < FORWARDED_P99_MS, f"{command.name} forwarded, p99 under {FORWARDED_P99_MS:g} ms: {p99:.1f}"
    draining = report.draining_ms.p50
    yield draining < DRAINING_MS, f"a call that a draining node rejects, p50 under {DRAINING_MS:g} ms: {draining:.1f}"
    dead = report.dead_ms
    yield dead < DEAD_MS, f"a call that goes to a dead node first, all under {DEAD_MS:g} ms: {dead:.0f}"
    calls, took = report.calls_taken_over, report.takeover_seconds
    yield took <= TAKEOVER_SECONDS, f"takeover of {calls} calls within {TAKEOVER_SECONDS:g} s: {took:.1f}"
    missed = calls - report.signalled + report.signalled_twice
    yield missed == 0, f"each of them signalled once: {report.signalled}, {report.signalled_twice} twice"


def print_report(report: Report) -> bool:
    """Print everything; return True if all limits were met."""
    out = sys.stdout.write
    out("\nMilliseconds              at the owner          at another node\n")
    out("                      p50    p95    p99      p50    p95    p99\n")
    for command in report.commands:
        owner, other = command.at_owner, command.forwarded
        out(f"{command.name:16} {owner.p50:8.1f} {owner.p95:6.1f} {owner.p99:6.1f}")
        out(f" {other.p50:8.1f} {other.p95:6.1f} {other.p99:6.1f}\n")
    out("\n")
    results = list(compare(report))
    for met, text in results:
        out(f"{'met   ' if met else 'MISSED'} {text}\n")
    return all(met for met, _ in results)
