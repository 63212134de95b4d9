"""The limits of the audio benchmark (docs/benchmark.md), and how a level compares with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .media_results import NAMES, ROUND_TRIP, TO_AGENT, TO_CALLER, Direction, Level

FEW_CALLS = 200
LATE_PERCENT = 0.05  # up to FEW_CALLS
LATE_PERCENT_OF_MANY = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """For one kind of calls: percent of a core and megabytes per call, and delays (p50 and p99) by way, in ms."""

    cpu_percent: float
    memory_mb: float
    delays_ms: dict[str, tuple[float, float]]


LIMITS = {
    "sip": Limits(0.09, 0.12, {TO_AGENT: (3, 8), TO_CALLER: (3, 8)}),
    "websocket": Limits(0.15, 0.10, {TO_AGENT: (6, 15), TO_CALLER: (18, 30)}),
    "echo": Limits(0.15, 0.10, {ROUND_TRIP: (30, 45)}),
}
ECHO_OF_MANY_MS = (35, 60)


def compare(level: Level) -> Iterator[tuple[bool, str]]:
    """Return for each limit that applies to the level: True if it was met, and a text with the value."""
    name, limits = f"{level.calls} {NAMES[level.kind]}", LIMITS[level.kind]
    yield level.failed == 0, f"no failed call, {name}: {level.failed}"
    few = level.calls <= FEW_CALLS
    if few:
        cpu = level.cpu_percent_per_call
        yield cpu <= limits.cpu_percent, f"{limits.cpu_percent} % of a core per call, {name}: {cpu:.3f}"
        memory = level.rss_per_call_mb
        yield memory <= limits.memory_mb, f"{limits.memory_mb} MB per call, {name}: {memory:.3f}"
    for way, direction in level.ways.items():
        yield from _frames(direction, f"{name} {way}", few=few)
        if few or level.kind == "echo":
            p50, p99 = limits.delays_ms[way] if few else ECHO_OF_MANY_MS
            measured = f"{direction.delay_p50_ms:.1f} / {direction.delay_p99_ms:.1f}"
            met = direction.delay_p50_ms <= p50 and direction.delay_p99_ms <= p99
            yield met, f"delay p50 / p99 of {p50:g} / {p99:g} ms, {name} {way}: {measured}"


def _frames(direction: Direction, name: str, *, few: bool) -> Iterator[tuple[bool, str]]:
    most = LATE_PERCENT if few else LATE_PERCENT_OF_MANY
    yield direction.late_percent < most, f"under {most} % of frames late, {name}: {direction.late_percent:.3f}"
    if few:
        harmed = direction.lost + direction.altered
        yield harmed == 0, f"no frame lost or altered, {name}: {harmed} of {direction.sent}"
