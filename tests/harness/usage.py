"""What a process uses, as the kernel counts it (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_USER_TIME, _SYSTEM_TIME = 11, 12  # places in /proc/PID/stat behind the command: fields 14 and 15


def cpu_ms(pid: int) -> float:
    """Processor time of all threads so far, user and system, in milliseconds (to the kernel's tick of 10)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) * _TICK_MS


def rss_mb(pid: int) -> float:
    """Resident memory, in megabytes (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return kibibytes * 1024 / 1e6
