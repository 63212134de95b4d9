"""Processor time of the benchmark's programs and of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.harness.usage import MachineTime, cpu_ms

from .chats_report import Cost


@dataclass(frozen=True)
class Usage:
    """Processor time so far: of the bridge, of all programs of the benchmark, and of the machine."""

    pids: Sequence[int]
    at_ns: int
    ms: Sequence[float]
    machine: MachineTime

    @classmethod
    def now(cls, pids: Sequence[int]) -> Usage:
        """Read the current values; the first process is the bridge."""
        return cls(pids, time.time_ns(), [cpu_ms(pid) for pid in pids], MachineTime.now())

    def cost(self) -> Cost:
        """Return the cost from then until now."""
        now = Usage.now(self.pids)
        spent = [after - before for before, after in zip(self.ms, now.ms, strict=True)]
        seconds = (now.at_ns - self.at_ns) / 1e9
        busy = self.machine.busy_percent(now.machine)
        by_benchmark = sum(spent) / seconds / 10 / (os.cpu_count() or 1)
        return Cost(spent[0], spent[0] / seconds, busy, max(0.0, busy - by_benchmark))
