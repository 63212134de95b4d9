"""The fate of the calls of an overload, and its presentation."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .load import Load, Quantiles, response_times
from .pressure import Pressure

REFUSED_P99_MS = 100
_ADMITTED, _REFUSED = "1", "2"  # response times of sipp_scenarios/load_overload.xml


@dataclass(frozen=True, slots=True)
class Overload:
    """The offered calls in the trunk's view, the bridge's load in the kernel's view, and the bridge's metrics."""

    rate: int
    calls: int
    admitted: int
    finished: int  # of the admitted ones
    refused: int
    unanswered: int
    retransmissions: int
    setup: Quantiles  # INVITE to 200
    refusal: Quantiles  # INVITE to 503
    slowest_refusal_ms: float
    handed_off: int
    counted_200: int
    counted_503: int
    cpu_ms_per_call: float
    socket_bytes_waiting: int
    datagrams_dropped: int
    thread_percent: dict[str, float]

    @classmethod
    def read(
        cls,
        load: Load,
        folder: Path,
        pressure: Pressure,
        *,
        cpu_ms_per_call: float,
        handed_off: int,
        counted_200: int,
        counted_503: int,
    ) -> Overload:
        """Read what SIPp wrote into the folder."""
        with (folder / "stat.csv").open() as file:
            *_, last = csv.DictReader(file, delimiter=";")
        times = response_times(folder)
        admitted, refused = times.get(_ADMITTED, []), times.get(_REFUSED, [])
        return cls(
            rate=load.rate,
            calls=load.calls,
            admitted=len(admitted),
            finished=int(last["SuccessfulCall(C)"]) - len(refused),
            refused=len(refused),
            unanswered=load.calls - len(admitted) - len(refused),
            retransmissions=int(last["Retransmissions(C)"]),
            setup=Quantiles.of(admitted),
            refusal=Quantiles.of(refused),
            slowest_refusal_ms=max(refused, default=0.0),
            handed_off=handed_off,
            counted_200=counted_200,
            counted_503=counted_503,
            cpu_ms_per_call=cpu_ms_per_call,
            socket_bytes_waiting=pressure.most_waiting,
            datagrams_dropped=pressure.dropped,
            thread_percent={name: percent for name, percent in pressure.percent.items() if percent >= 1},
        )


@dataclass(frozen=True, slots=True)
class Report:
    """`carried` is the rate that the machine was found to carry; None if a rate was given."""

    carried: int | None
    overload: Overload


def print_report(report: Report) -> bool:
    """Print the results, and the limits that were met or missed; return True if all were met."""
    write, it = sys.stdout.write, report.overload
    carried = "" if report.carried is None else f" (carried without a failure: {report.carried})"
    write(f"\n{it.calls} calls at {it.rate} per second{carried}\n\n")
    write(
        f"  admitted  {it.admitted:>6}   finished {it.finished}, by the metrics {it.handed_off} of {it.counted_200}\n"
    )
    write(f"  503       {it.refused:>6}   by the metrics {it.counted_503}\n")
    write(f"  neither   {it.unanswered:>6}\n")
    write(f"  INVITE to 200: p50 {it.setup.p50:g}, p95 {it.setup.p95:g}, p99 {it.setup.p99:g} ms\n")
    write(f"  INVITE to 503: p50 {it.refusal.p50:g}, p95 {it.refusal.p95:g}, p99 {it.refusal.p99:g}, ")
    write(f"slowest {it.slowest_refusal_ms:g} ms\n")
    write(
        f"  SIPp retransmitted {it.retransmissions} messages; "
        f"processor time per offered call: {it.cpu_ms_per_call:.2f} ms\n"
    )
    write(f"  SIP socket: at most {it.socket_bytes_waiting} bytes waiting, {it.datagrams_dropped} datagrams dropped\n")
    threads = sorted(it.thread_percent.items(), key=lambda each: -each[1])
    write(f"  threads, % of a core: {', '.join(f'{name} {percent:.0f}' for name, percent in threads)}\n\n")
    limits = list(_limits(it))
    for met, text in limits:
        write(f"  {'met   ' if met else 'MISSED'}  {text}\n")
    return all(met for met, _ in limits)


def _limits(it: Overload) -> Iterator[tuple[bool, str]]:
    yield it.finished == it.admitted, f"every admitted call finishes: {it.finished} of {it.admitted}"
    yield it.unanswered == 0, f"every INVITE gets a final response: {it.unanswered} without one"
    slow = it.refusal.p99
    yield not slow > REFUSED_P99_MS, f"503 within {REFUSED_P99_MS} ms for 99 %: {slow:g}"
