"""The figures of `make bench-fleet`, and how they are printed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from .load import Quantiles


@dataclass(frozen=True, slots=True)
class Level:
    """A fleet of one size; times in milliseconds. `late` counts renewals that began too late: the load was too much."""

    nodes: int
    readers: int  # nodes that follow the stream of all calls
    calls_per_second: float
    renewals_per_second: float
    wakes_per_second: float  # responses of the stream to all nodes
    late: int
    failed: int
    renewal: Quantiles
    command: Quantiles
    redis_percent_of_a_core: float
    commands_per_second: float
    megabytes_in_per_second: float
    megabytes_out_per_second: float
    memory_mb: float


@dataclass(slots=True)
class Report:
    """All sizes, and what a handoff sends."""

    commands_per_call: int
    bytes_per_call: int
    levels: list[Level] = field(default_factory=list)


_HEAD = """
One Redis, which all nodes share; times in milliseconds; the simulated nodes use the same machine

               calls  renewals                 renewal     command of a call   Redis, %  commands  reads of   MB per s
 nodes readers per s     per s  late failed    p50    p99      p50    p99     of a core     per s  events/s    in    out
"""


def print_report(report: Report) -> None:
    """Print a table."""
    out = sys.stdout.write
    out(f"A handoff sends {report.commands_per_call} commands with {report.bytes_per_call:,} bytes to Redis.\n")
    out(_HEAD)
    for level in report.levels:
        out(
            f"{level.nodes:6} {level.readers:7} {level.calls_per_second:5.0f} {level.renewals_per_second:9.0f}"
            f" {level.late:5} {level.failed:6} {level.renewal.p50:6.1f} {level.renewal.p99:6.1f}"
            f"   {level.command.p50:6.1f} {level.command.p99:6.1f} {level.redis_percent_of_a_core:13.1f}"
            f" {level.commands_per_second:9.0f} {level.wakes_per_second:9.0f}"
            f" {level.megabytes_in_per_second:5.2f} {level.megabytes_out_per_second:7.2f}\n"
        )
