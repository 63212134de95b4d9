"""The output of the demos: the steps of a timeline, and those that are missing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sipbridge.terminal import Style
from sipbridge.trial_call.timeline import Step, in_order, lines_of


@dataclass(frozen=True, slots=True)
class Report:
    """The output of a demo. `expected` has the names of the steps to observe, in their order."""

    expected: Sequence[str]
    style: Style

    def in_order(self, steps: Sequence[Step]) -> list[Step]:
        """Sort the steps."""
        return in_order(steps, self.expected)

    def heading(self, title: str, *lines: str) -> None:
        """Print a title, and lines about the programs."""
        print_line(f"{self.style.bold}{title}{self.style.plain}\n")
        print_line("\n".join(f"{self.style.dim}{line}{self.style.plain}" for line in lines) + "\n")

    def timeline(self, steps: Sequence[Step]) -> None:
        """Print the steps, in seconds from the first."""
        for line in lines_of(steps, self.style):
            print_line(line)

    def is_complete(self, steps: Sequence[Step], trouble: str) -> bool:
        """Print missing steps and errors; return True if there are none."""
        seen = {step.name for step in steps}
        missing = [name for name in self.expected if name not in seen]
        if trouble:
            print_line(f"\n{self.style.bold}The demo failed:{self.style.plain}\n{trouble}")
        if missing:
            print_line(f"\n{self.style.bold}Missing steps:{self.style.plain} {', '.join(missing)}")
        return not missing and not trouble

    def hint(self, text: str) -> None:
        """Print what one can do next."""
        print_line(f"\n{self.style.dim}{text}{self.style.plain}")


def print_and_wait(*lines: str) -> None:
    """Print lines and return at Ctrl-C or SIGTERM."""
    stops = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        for line in lines:
            print_line(line)
        signal.sigwait(stops)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def print_line(text: str) -> None:
    """Write to standard output at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
