"""The limits that a process reaches under load: its threads' processor time, and datagrams lost by its sockets."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.threads import threads, usage_by_name

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Socket:
    """A UDP socket in the kernel's view: bytes waiting to be read, and datagrams dropped when it was full (proc(5))."""

    waiting: int
    dropped: int

    @classmethod
    def at(cls, port: int) -> Socket:
        """Read the state of the socket with that local port."""
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                return cls(int(fields[4].rpartition(":")[2], 16), int(fields[12]))
        return cls(0, 0)


@dataclass
class Pressure:
    """Samples a process and its UDP socket until the block ends."""

    pid: int
    port: int
    most_waiting: int = 0
    dropped: int = 0
    percent: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._dropped_before = Socket.at(self.port).dropped
        self._before, self._began = threads(self.pid), time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="pressure", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        elapsed_ms = 1000 * (time.monotonic() - self._began)
        self.dropped = Socket.at(self.port).dropped - self._dropped_before
        self.percent = {
            name: 100 * usage.cpu_ms / elapsed_ms
            for name, usage in usage_by_name(self._before, threads(self.pid)).items()
        }

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self.most_waiting = max(self.most_waiting, Socket.at(self.port).waiting)
