"""The CXone simulator as a program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.harness.cxone.desk import Desk
from tests.harness.web.http import fetch

from .bridge import SIPBRIDGE
from .program import Program


class Simulator:
    """A running simulator."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url
        self.desk = Desk(url)

    def signals(self, contact_id: str, *, wait_for: int = 0, seconds: float = 10) -> list[dict[str, Any]]:
        """Return the Signals for a contact, once there are `wait_for` or the time is over."""
        query = urlencode({"contact_id": contact_id, "wait_for": wait_for, "timeout": seconds})
        answer = fetch(f"{self.url}/simulator/signals?{query}", timeout_seconds=seconds + 5)
        signals: list[dict[str, Any]] = answer.json()["signals"]
        return signals

    def all_signals(self) -> list[dict[str, Any]]:
        """Return the Signals for all contacts."""
        signals: list[dict[str, Any]] = fetch(f"{self.url}/simulator/signals").json()["signals"]
        return signals

    def requests(self) -> dict[str, dict[str, int]]:
        """Return the number of each response, by endpoint."""
        counts: dict[str, dict[str, int]] = fetch(f"{self.url}/simulator/requests").json()
        return counts

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that no request has met yet."""
        faults: list[dict[str, Any]] = fetch(f"{self.url}/simulator/faults").json()["faults"]
        return faults

    def fail(self, endpoint: str, **fault: Any) -> None:  # noqa: ANN401 (JSON)
        """Make an endpoint fail (docs/simulator.md)."""
        answer = fetch(f"{self.url}/simulator/faults", "POST", body={"endpoint": endpoint, **fault})
        if answer.status != 201:
            raise ValueError(answer.body.decode())

    def clear_faults(self) -> None:
        """Remove the faults that no request has met yet."""
        fetch(f"{self.url}/simulator/faults", "DELETE")


@contextmanager
def simulator(folder: Path) -> Iterator[Simulator]:
    """Run a simulator on a free port; its log is in the folder."""
    # Quiet: a soak makes many requests, and a log line for each would cost time of the measured machine.
    with Program([SIPBRIDGE, "simulate", "--quiet", "--listen", "127.0.0.1:0"], folder / "simulator.log") as program:
        ready = program.line_with("ready")
        found = re.search(r"http://127\.0\.0\.1:\d+", ready)
        if found is None:
            raise program.error(f"said no address: {ready}")
        yield Simulator(program, found[0])
