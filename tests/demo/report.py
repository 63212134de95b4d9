"""The output of the demos: the steps of a timeline, and those that are missing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .timeline import Step


@dataclass(frozen=True, slots=True)
class Style:
    """The escape sequences for bold and dim text; empty if the output is not a terminal."""

    bold: str = ""
    dim: str = ""
    plain: str = ""

    @classmethod
    def of_output(cls) -> Style:
        """Return the style for standard output."""
        return cls("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else cls()


@dataclass(frozen=True, slots=True)
class Report:
    """The output of a demo. `expected` has the names of the steps to observe, in their order."""

    expected: Sequence[str]
    style: Style

    def in_order(self, steps: Sequence[Step]) -> list[Step]:
        """Sort the steps. Some times have whole milliseconds only: equal times keep the only possible order."""
        return sorted(steps, key=lambda step: (_millisecond(step), self.expected.index(step.name)))

    def heading(self, title: str, *lines: str) -> None:
        """Print a title, and lines about the programs."""
        print_line(f"{self.style.bold}{title}{self.style.plain}\n")
        print_line("\n".join(f"{self.style.dim}{line}{self.style.plain}" for line in lines) + "\n")

    def timeline(self, steps: Sequence[Step]) -> None:
        """Print the steps, in seconds from the first."""
        width = max((len(step.who) for step in steps), default=0) + 2
        for step in steps:
            seconds = (_millisecond(step) - _millisecond(steps[0])).total_seconds()
            print_line(f"  {seconds:7.3f}  {self.style.bold}{step.who:{width}}{self.style.plain}{step.text}")
            for name, value in step.details:
                print_line(f"{'':{width + 13}}{self.style.dim}{name}{self.style.plain}  {value}")

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


def _millisecond(step: Step) -> datetime:
    return step.at.replace(microsecond=step.at.microsecond // 1000 * 1000)


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
