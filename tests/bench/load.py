"""Runs SIPp with many calls, and reads its measurements."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.programs.sipp import Sipp
from tests.harness.threads import ThreadUsage
from tests.harness.usage import cpu_ms


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Response times in milliseconds; those of SIPp are whole ones."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: list[float]) -> Quantiles:
        """Return nearest-rank percentiles of all values; NaN if there are none."""
        ordered = sorted(values)

        def rank(percent: int) -> float:
            return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else math.nan

        return cls(rank(50), rank(95), rank(99))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One level of load, measured at the caller's side, and the processor time of the process that served it."""

    rate: int
    calls: int
    failed: int
    retransmissions: int
    setup: Quantiles  # INVITE to 200
    refer: Quantiles  # ACK to REFER
    cpu_ms_per_call: float
    threads: dict[str, ThreadUsage] = field(default_factory=dict)  # that process's, by name, per call


@dataclass(frozen=True, slots=True)
class Load:
    """Calls of one scenario at a rate (per second) to `remote`, each held for `hold_seconds`."""

    scenario: str
    remote: str
    number: str
    keys: dict[str, str]
    rate: int
    calls: int
    hold_seconds: float = 0

    def start(self, folder: Path) -> Sipp:
        """Start SIPp; its files go to the folder, which must be new."""
        folder.mkdir(parents=True)
        options = [
            *("-r", str(self.rate), "-m", str(self.calls), "-l", str(self.calls)),
            *("-d", str(round(self.hold_seconds * 1000)), "-timer_resol", "1", "-buff_size", "4194304"),
            *("-trace_rtt", "-rtt_freq", "1", "-trace_stat", "-fd", "1", "-stf", str(folder / "stat.csv")),
        ]
        return Sipp(self.scenario, folder, remote=self.remote, number=self.number, keys=self.keys, options=options)

    def run(self, folder: Path, pid: int) -> LoadResult:
        """Run to the end; `pid` is the process that serves the calls."""
        before = cpu_ms(pid)
        with self.start(folder) as sipp:
            sipp.wait(self.calls / self.rate + self.hold_seconds + 60)
        return self.result(folder, cpu_ms(pid) - before)

    def result(self, folder: Path, spent_ms: float) -> LoadResult:
        """Read what SIPp wrote into the folder."""
        with (folder / "stat.csv").open() as file:
            *_, last = csv.DictReader(file, delimiter=";")
        times = response_times(folder)
        succeeded = int(last["SuccessfulCall(C)"])
        return LoadResult(
            rate=self.rate,
            calls=self.calls,
            failed=self.calls - succeeded,
            retransmissions=int(last["Retransmissions(C)"]),
            setup=Quantiles.of(times.get("1", [])),
            refer=Quantiles.of(times.get("2", [])),
            cpu_ms_per_call=spent_ms / self.calls,
        )


def response_times(folder: Path) -> dict[str, list[float]]:
    """Return the milliseconds of every call that SIPp measured, by the response time's number in the scenario."""
    times: dict[str, list[float]] = {}
    for file in folder.glob("*_rtt.csv"):
        with file.open() as lines:
            for row in csv.DictReader(lines, delimiter=";"):
                times.setdefault(row["rtd_no"], []).append(float(row["response_time_ms"]))
    return times
