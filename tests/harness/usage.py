"""The resources that a process uses, as the kernel counts them (proc(5)), and its limits."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_USER_TIME, _SYSTEM_TIME = 11, 12  # positions in /proc/PID/stat after the command: fields 14 and 15


def cpu_ms(pid: int) -> float:
    """Processor time of all threads so far, user and system, in milliseconds (in the kernel's ticks of 10)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) * _TICK_MS


def rss_mb(pid: int) -> float:
    """Resident memory, in megabytes (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return kibibytes * 1024 / 1e6


def open_files(pid: int) -> int:
    """Count the open file descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Processor time of the whole machine, all cores, in milliseconds since it started; `idle_ms` includes waiting."""

    idle_ms: float
    stolen_ms: float
    total_ms: float

    @classmethod
    def now(cls) -> MachineTime:
        """Read the current values."""
        user, nice, system, idle, waiting, irq, softirq, stolen = (
            int(ticks) * _TICK_MS for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        return cls(idle + waiting, stolen, user + nice + system + idle + waiting + irq + softirq + stolen)

    def busy_percent(self, until: MachineTime) -> float:
        """The percentage of all cores in use until then, here or by other machines on the same hardware."""
        return 100 - 100 * (until.idle_ms - self.idle_ms) / (until.total_ms - self.total_ms)

    def stolen_percent(self, until: MachineTime) -> float:
        """The percentage of all cores that other machines on the same hardware used until then."""
        return 100 * (until.stolen_ms - self.stolen_ms) / (until.total_ms - self.total_ms)


def allow_many_sockets() -> None:
    """Raise the limit of open files for this process and the programs that it starts: a held call has two sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
