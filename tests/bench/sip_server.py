"""The server of a benchmark's calls: the bridge, or a peer that it is compared with."""

from __future__ import annotations

from typing import Protocol

from tests.harness.programs.program import Program
from tests.harness.waiting import wait_for


class SipServer(Protocol):
    """A running program with SIP over UDP; `sip` is its `HOST:PORT`."""

    sip: str
    program: Program

    def calls_in_progress(self) -> int:
        """Count the calls in progress."""


def wait_for_calls(server: SipServer, count: int, seconds: float) -> int:
    """Wait until this many calls are in progress, or the time is over; return how many are."""
    try:
        wait_for(lambda: server.calls_in_progress() == count, f"{count} calls", seconds)
    except TimeoutError:
        return server.calls_in_progress()
    return count
