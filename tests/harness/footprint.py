"""What a bridge holds: what must be the same again once the calls are over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .bridge import Bridge
from .usage import rss_mb

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Footprint:
    """Calls and asyncio tasks by its own metrics, the rest by the kernel (proc(5)); memory in megabytes (10^6 bytes)."""

    calls: int
    tasks: int
    sockets: int
    files: int
    threads: int
    rss_mb: float

    @classmethod
    def of(cls, bridge: Bridge) -> Footprint:
        """Look at it now."""
        pid = bridge.program.pid
        metrics = bridge.metrics()
        links = _links(pid)
        sockets = sum(link.startswith("socket:") for link in links)
        return cls(
            calls=round(metrics.value("sipbridge_calls_active")),
            tasks=round(metrics.value("sipbridge_event_loop_tasks")),
            sockets=sockets,
            files=len(links) - sockets,
            threads=sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
            rss_mb=rss_mb(pid),
        )

    def __str__(self) -> str:
        counts = f"{self.calls} calls, {self.tasks} tasks, {self.sockets} sockets, {self.files} files"
        return f"{counts}, {self.threads} threads, {self.rss_mb:.1f} MB"

    def is_within(self, earlier: Footprint) -> bool:
        """Whether nothing is there that was not there earlier; memory, which comes back later or not at all, left out."""
        return (
            self.calls <= earlier.calls
            and self.tasks <= earlier.tasks
            and self.sockets <= earlier.sockets
            and self.files <= earlier.files
            and self.threads <= earlier.threads
        )


def settled(bridge: Bridge, seconds: float, unchanged_seconds: float) -> Footprint:
    """Return what is left once nothing has changed for a while, memory left out; at the latest after `seconds`."""
    deadline = time.monotonic() + seconds
    last, since = Footprint.of(bridge), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < unchanged_seconds:
        time.sleep(_LOOK_SECONDS)
        now = Footprint.of(bridge)
        if not (now.is_within(last) and last.is_within(now)):
            since = time.monotonic()
        last = now
    return last


def back_within(bridge: Bridge, earlier: Footprint, seconds: float) -> Footprint:
    """Return what is left once it is no more than earlier; at the latest after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (now := Footprint.of(bridge)).is_within(earlier) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return now


def _links(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return links
