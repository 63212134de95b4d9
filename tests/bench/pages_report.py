"""The results of the benchmark of screen-pop pages, and their presentation."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .chats_report import CALLS_HEADING, Calls, Cost, calls_row

CPU_MS_PER_VIEW = 1.0
CPU_MS_PER_UPDATE = 0.2
# How fast the pages open beside the calls, in pages per second; `at once` is in the same moment.
OPENINGS = {"at 100 per s": 100.0, "at once": math.inf}
LATE_PERCENT = 0.05  # of the frames of the calls beside the pages, beyond those of the calls alone


@dataclass(frozen=True)
class Updates:
    """The updates that open pages received, and the cost of that time."""

    count: int
    cost: Cost

    def without(self, other: Updates) -> Updates:
        """Return the same updates with the cost beyond that of a time without open pages."""
        return replace(self, cost=replace(self.cost, cpu_ms=self.cost.cpu_ms - other.cost.cpu_ms))

    @property
    def cpu_ms_each(self) -> float:
        """Milliseconds of the bridge per update, with the pings of the streams."""
        return self.cost.cpu_ms / max(1, self.count)


@dataclass
class Report:
    """All results."""

    cores: int
    pages: int
    seconds: int
    cpu_ms_per_view: float = 0.0
    updates: Updates = field(default_factory=lambda: Updates(0, Cost(0, 0, 0, 0)))
    calls: Calls[Updates] | None = None


def print_report(report: Report) -> None:
    """Print the figures, and the limits that were met or missed."""
    write = sys.stdout.write
    write(f"\nAll programs share the {report.cores} cores; processor time is the bridge's\n\n")
    write(f"  a view of a page             {report.cpu_ms_per_view:6.3f} ms\n")
    write(f"  an update of an open page    {report.updates.cpu_ms_each:6.3f} ms ({report.updates.count} updates)\n\n")
    if report.calls:
        calls = report.calls
        write(
            f"{calls.calls} WebSocket calls, {calls.failed} failed; each row is {report.seconds} s\n\n{CALLS_HEADING}"
        )
        write(calls_row("alone", calls.alone))
        for name, beside in zip(OPENINGS, calls.beside, strict=True):
            write(calls_row(name, beside.audio))
        updates = " and ".join(str(beside.load.count) for beside in calls.beside)
        write(f"\n  {report.pages} pages, {updates} updates beside the calls\n\n")
    for met, text in limits(report):
        write(f"  {'met   ' if met else 'MISSED'}  {text}\n")


def limits(report: Report) -> Iterator[tuple[bool, str]]:
    """Return for each limit: True if it was met, and a text with the value."""
    view, update = report.cpu_ms_per_view, report.updates.cpu_ms_each
    yield view < CPU_MS_PER_VIEW, f"under {CPU_MS_PER_VIEW:g} ms of processor time per view: {view:.3f}"
    yield update < CPU_MS_PER_UPDATE, f"under {CPU_MS_PER_UPDATE:g} ms of processor time per update: {update:.3f}"
    if report.calls:
        calls = report.calls
        yield calls.failed == 0, f"no failed call: {calls.failed}"
        for name, beside in zip(OPENINGS, calls.beside, strict=True):
            for way, alone in (("to_agent", calls.alone.to_agent), ("to_caller", calls.alone.to_caller)):
                more = getattr(beside.audio, way).late_percent - alone.late_percent
                text = f"under {LATE_PERCENT} % of frames more late than alone, pages {name}, {way}: {more:.3f}"
                yield more < LATE_PERCENT, text
