"""The results of the benchmark of chats, and their presentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

CPU_MS_PER_MESSAGE = 0.6
KB_PER_CHAT = 60
P99_MS = 40  # of the added delay, at 300 per second
_LIMITS_RATE = 300


@dataclass
class Rate:
    """Messages relayed at one rate, both ways together; processor time of the bridge; delays by way, in ms."""

    per_second: int
    messages: int
    cpu_ms_per_message: float
    cpu_percent_of_a_core: float
    lost: int = 0
    doubled: int = 0
    delays: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass
class Report:
    """All results. Memory is that of the bridge."""

    cores: int
    chats: int
    seconds: int
    mb_at_rest: float = 0.0
    kb_per_chat: float = 0.0
    out_of_order: int = 0
    rejected: int = 0
    rates: list[Rate] = field(default_factory=list)


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return a quantile of values in order; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def print_report(report: Report) -> None:
    """Print the table, and the limits that were met or missed."""
    write = sys.stdout.write
    write(f"\n{report.chats} chats held; store, events and webhook on; all programs share the {report.cores} cores\n\n")
    write("          messages                     CPU   to the agent (ms)    to the bot (ms)\n")
    write("  per s   relayed   lost  doubled  ms each     p50     p99         p50     p99\n")
    for rate in report.rates:
        delays = [rate.delays[way][part] for way in ("to_agent", "to_bot") for part in ("p50", "p99")]
        write(
            f"{rate.per_second:>7}{rate.messages:>10}{rate.lost:>7}{rate.doubled:>9}{rate.cpu_ms_per_message:>9.2f}"
            f"{delays[0]:>8.1f}{delays[1]:>8.1f}    {delays[2]:>8.1f}{delays[3]:>8.1f}\n"
        )
    write(f"\n{report.mb_at_rest:.0f} MB at rest, {report.kb_per_chat:.0f} kB per held chat\n\n")
    for met, text in _limits(report):
        write(f"  {'met   ' if met else 'MISSED'}  {text}\n")


def _limits(report: Report) -> Iterator[tuple[bool, str]]:
    lost, doubled = (sum(getattr(rate, name) for rate in report.rates) for name in ("lost", "doubled"))
    yield lost == 0, f"messages lost: {lost}, must be 0"
    yield doubled == 0, f"messages doubled: {doubled}, must be 0"
    yield report.out_of_order == 0, f"events out of order: {report.out_of_order}, must be 0"
    yield report.rejected == 0, f"requests rejected: {report.rejected}, must be 0"
    for rate in report.rates:
        text = f"{rate.cpu_ms_per_message:.2f} ms per message at {rate.per_second} per second"
        yield rate.cpu_ms_per_message <= CPU_MS_PER_MESSAGE, f"{text}, at most {CPU_MS_PER_MESSAGE}"
        if rate.per_second == _LIMITS_RATE:
            slowest = max(each["p99"] for each in rate.delays.values())
            yield slowest < P99_MS, f"delay p99 {slowest:.1f} ms at {rate.per_second} per second, under {P99_MS}"
    yield report.kb_per_chat <= KB_PER_CHAT, f"{report.kb_per_chat:.0f} kB per held chat, at most {KB_PER_CHAT}"
