"""The results of the benchmark of chats, and their presentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .media_results import Direction

CPU_MS_PER_MESSAGE = 0.6
KB_PER_CHAT = 60
P99_MS = 40  # of the added delay, at LIMITS_RATE
LIMITS_RATE = 300  # relayed messages per second, also beside the calls
LOST_OR_LATE_PERCENT = 0.1  # of the frames of the calls beside the messages
_SATURATED_PERCENT = 90.0
_MESSAGES_HEADING = """\
                messages           to the agent (ms)   to the bot (ms)       bridge, ms CPU   machine, % of all cores
  per s   relayed   lost  doubled       p50     p99       p50     p99      each   per s           in use   others
"""
CALLS_HEADING = """\
                          caller to agent                agent to caller         bridge      machine, % of all cores
                    lost %  late %  altered %     lost %  late %  altered %   ms CPU per s           in use   others
"""


@dataclass(frozen=True)
class Cost:
    """Processor time of the bridge; use of the machine, and the part of it that is outside the benchmark."""

    cpu_ms: float
    cpu_ms_per_second: float
    machine_busy_percent: float
    machine_other_percent: float


@dataclass
class Rate:
    """Messages relayed at one rate, both ways together; delays by way, in ms."""

    per_second: int
    messages: int
    cost: Cost
    lost: int = 0
    doubled: int = 0
    delays: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def cpu_ms_per_message(self) -> float:
        """Milliseconds of the bridge."""
        return self.cost.cpu_ms / self.messages


@dataclass(frozen=True)
class Audio:
    """The audio of all calls for some time, and its cost."""

    to_agent: Direction
    to_caller: Direction
    cost: Cost

    @property
    def lost_or_late_percent(self) -> float:
        """Percentage of the frames sent, of the worse direction."""
        return max(way.lost_percent + way.late_percent for way in (self.to_agent, self.to_caller))


T = TypeVar("T")


@dataclass(frozen=True)
class Beside(Generic[T]):
    """The audio of calls beside a load, and what the load measured itself."""

    audio: Audio
    load: T


@dataclass(frozen=True)
class Calls(Generic[T]):
    """Calls with audio, first alone, and then beside each load that the bridge carries."""

    calls: int
    failed: int
    generators_dropped: int
    alone: Audio
    beside: list[Beside[T]]


@dataclass
class Report:
    """All results. Memory is that of the bridge; `idle` is its cost while it holds all chats."""

    cores: int
    chats: int
    seconds: int
    mb_at_rest: float = 0.0
    kb_per_chat: float = 0.0
    idle: Cost = field(default_factory=lambda: Cost(0, 0, 0, 0))
    out_of_order: int = 0
    rejected: int = 0
    rates: list[Rate] = field(default_factory=list)
    calls: Calls[Rate] | None = None


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return a quantile of values in order; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def print_report(report: Report) -> None:
    """Print the tables, and the limits that were met or missed."""
    write = sys.stdout.write
    write(f"\n{report.chats} chats held; store, events and webhook on; all programs share the {report.cores} cores\n\n")
    write(_MESSAGES_HEADING)
    write(f"{'none':>7}{'':>68}{_cost(report.idle)}\n")
    for rate in report.rates:
        write(_messages_row(rate))
    write(f"\n{report.mb_at_rest:.0f} MB at rest, {report.kb_per_chat:.0f} kB per held chat\n\n")
    if report.calls:
        _print_calls(report.calls, report.seconds)
    for met, text in _limits(report):
        write(f"  {'met   ' if met else 'MISSED'}  {text}\n")
    for note in _notes(report):
        write(f"  note    {note}\n")


def _print_calls(calls: Calls[Rate], seconds: int) -> None:
    write = sys.stdout.write
    write(f"{calls.calls} WebSocket calls on the same bridge, {calls.failed} failed; each row is {seconds} s\n\n")
    write(CALLS_HEADING)
    write(calls_row("alone", calls.alone))
    for each in calls.beside:
        write(calls_row(f"and {each.load.per_second} per s", each.audio))
    rows = "".join(_messages_row(each.load) for each in calls.beside)
    write(f"\nThe messages beside the calls\n\n{_MESSAGES_HEADING}{rows}\n")


def _messages_row(rate: Rate) -> str:
    ways = "".join(f"{rate.delays[way]['p50']:>10.1f}{rate.delays[way]['p99']:>8.1f}" for way in ("to_agent", "to_bot"))
    return (
        f"{rate.per_second:>7}{rate.messages:>10}{rate.lost:>7}{rate.doubled:>9}{ways}"
        f"{rate.cpu_ms_per_message:>10.2f}{_cost(rate.cost)}\n"
    )


def calls_row(name: str, audio: Audio) -> str:
    ways = "".join(
        f"{way.lost_percent:>11.3f}{way.late_percent:>8.3f}{way.altered_percent:>11.3f}"
        for way in (audio.to_agent, audio.to_caller)
    )
    return f"  {name:13}{ways}{'':>7}{_cost(audio.cost)}\n"


def _cost(cost: Cost) -> str:
    return f"{cost.cpu_ms_per_second:>8.1f}{cost.machine_busy_percent:>17.0f}{cost.machine_other_percent:>9.0f}"


def _limits(report: Report) -> Iterator[tuple[bool, str]]:
    """Compare the report with the limits; messages beside calls count, but their processor time is not theirs alone."""
    sent = [*report.rates, *(each.load for each in (report.calls.beside if report.calls else ()))]
    lost, doubled = (sum(getattr(rate, name) for rate in sent) for name in ("lost", "doubled"))
    yield lost == 0, f"messages lost: {lost}, must be 0"
    yield doubled == 0, f"messages doubled: {doubled}, must be 0"
    yield report.out_of_order == 0, f"events out of order: {report.out_of_order}, must be 0"
    yield report.rejected == 0, f"requests rejected: {report.rejected}, must be 0"
    for rate in report.rates:
        text = f"{rate.cpu_ms_per_message:.2f} ms per message at {rate.per_second} per second"
        yield rate.cpu_ms_per_message <= CPU_MS_PER_MESSAGE, f"{text}, at most {CPU_MS_PER_MESSAGE}"
        if rate.per_second == LIMITS_RATE:
            slowest = max(each["p99"] for each in rate.delays.values())
            yield slowest < P99_MS, f"delay p99 {slowest:.1f} ms at {rate.per_second} per second, under {P99_MS}"
    yield report.kb_per_chat <= KB_PER_CHAT, f"{report.kb_per_chat:.0f} kB per held chat, at most {KB_PER_CHAT}"
    if report.calls:
        yield from _limits_of_calls(report.calls)


def _limits_of_calls(calls: Calls[Rate]) -> Iterator[tuple[bool, str]]:
    for each in calls.beside:
        name = f"{calls.calls} calls beside {each.load.per_second} messages per second"
        part, alone = each.audio.lost_or_late_percent, calls.alone.lost_or_late_percent
        text = f"{part:.3f} % of frames lost or late, {name} (alone: {alone:.3f})"
        yield part < LOST_OR_LATE_PERCENT, f"{text}, under {LOST_OR_LATE_PERCENT}"
    yield calls.failed == 0, f"calls failed: {calls.failed}, must be 0"


def _notes(report: Report) -> Iterator[str]:
    costs = [(f"{rate.per_second} messages per second", rate.cost) for rate in report.rates]
    if report.calls:
        costs.append(("the calls alone", report.calls.alone.cost))
        costs += [("calls and messages", each.audio.cost) for each in report.calls.beside]
    for name, cost in costs:
        if cost.machine_busy_percent > _SATURATED_PERCENT:
            other = f"{cost.machine_other_percent:.0f} % by other programs"
            yield f"the machine was the limit with {name}: {cost.machine_busy_percent:.0f} % of it was in use, {other}"
    if report.calls and report.calls.generators_dropped:
        yield f"callers or agents were too slow and lost {report.calls.generators_dropped} packets themselves"
