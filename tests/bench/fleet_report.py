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
    owner: Quantiles  # a look for the node that carries a call
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
One Redis, which all nodes share; times in milliseconds; the simulated nodes use the same machine.
`owner`: to find the node that carries a call, for a command that came to another one

               calls renewals              renewal     command of a call      owner    Redis, commands reads of MB per s
 nodes readers per s    per s late failed    p50    p99    p50    p99    p50    p99 % core    per s events/s   in   out
"""


def print_report(report: Report) -> None:
    """Print a table."""
    out = sys.stdout.write
    out(f"A handoff sends {report.commands_per_call} commands with {report.bytes_per_call:,} bytes to Redis.\n")
    out(_HEAD)
    for level in report.levels:
        out(
            f"{level.nodes:6} {level.readers:7} {level.calls_per_second:5.0f} {level.renewals_per_second:8.0f}"
            f" {level.late:4} {level.failed:6} {_two(level.renewal)} {_two(level.command)} {_two(level.owner)}"
            f" {level.redis_percent_of_a_core:6.1f} {level.commands_per_second:8.0f} {level.wakes_per_second:8.0f}"
            f" {level.megabytes_in_per_second:4.1f} {level.megabytes_out_per_second:5.2f}\n"
        )


def _two(times: Quantiles) -> str:
    return f"{times.p50:6.1f} {times.p99:6.1f}"
