"""The threads of a process as the kernel counts them: processor time, and how often each stops (proc(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FIRST = "event loop"  # for the kernel it has the name of the program
_NUMBER = re.compile(r"[-_]\d+$")  # of a thread among others of its executor
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ThreadUsage:
    """Milliseconds of processor time; how often it stopped to wait, and how often another thread took its core."""

    cpu_ms: float
    waits: float
    preemptions: float

    def __add__(self, other: ThreadUsage) -> ThreadUsage:
        return ThreadUsage(self.cpu_ms + other.cpu_ms, self.waits + other.waits, self.preemptions + other.preemptions)

    def __sub__(self, other: ThreadUsage) -> ThreadUsage:
        return self + other * -1

    def __mul__(self, factor: float) -> ThreadUsage:
        return ThreadUsage(self.cpu_ms * factor, self.waits * factor, self.preemptions * factor)


NO_USAGE = ThreadUsage(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of a process, and its usage since it started."""

    number: int
    name: str
    usage: ThreadUsage


def threads(pid: int) -> dict[int, Thread]:
    """Return the threads of a process by their numbers (thread ids). The first is called "event loop"."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = _NUMBER.sub("", (task / "comm").read_text().strip())
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            waits, preemptions = map(int, _SWITCHES.findall((task / "status").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        number = int(task.name)
        name = _FIRST if number == pid else name
        found[number] = Thread(number, name, ThreadUsage(nanoseconds / 1e6, waits, preemptions))
    return found


def usage_by_name(before: Mapping[int, Thread], after: Mapping[int, Thread]) -> dict[str, ThreadUsage]:
    """Return the usage between two times, with threads of the same name added up; threads that ended are missing."""
    usage: dict[str, ThreadUsage] = {}
    for number, thread in after.items():
        earlier = before[number].usage if number in before else NO_USAGE
        usage[thread.name] = usage.get(thread.name, NO_USAGE) + (thread.usage - earlier)
    return usage
