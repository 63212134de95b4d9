"""`make kills`: kill the bridge during calls, again and again, and check how the next start recovers them.

Each round places calls that are about to hand off, with a slow CXone, kills the process (SIGKILL) at a random moment,
starts it again on the same files and compares: the calls that SIPp saw answered, the records of the bridge, the Signals
that CXone received.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.harness.programs.bridge import Bridge, running_bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.waiting import wait_for

from .killed_calls import (
    SCENARIOS,
    SIGNAL_SECONDS,
    check_calls,
    place_calls,
    settings_of_killed,
)

LATEST_KILL_SECONDS = 2.5
RESTARTED = "bridge_restarted"


@dataclass
class Tally:
    """The results of all rounds. `outcomes` counts the answered calls by how the next start found them."""

    kills: int = 0
    answered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        return f"{self.kills} kills survived, {self.answered} answered calls: {parts}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the bridge this many times; exit with 1 at the first call that was not recovered correctly."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sipbridge-kills-") as name:
        tally = run_kills(Path(name), options.kills, options.seed, report=sys.stdout.write)
    sys.stdout.write(f"{tally}\n")
    return 0


def run_kills(folder: Path, kills: int, seed: int, report: Any = None) -> Tally:  # noqa: ANN401 (takes a line)
    """Run this many rounds. Raises `KillError`."""
    tally = Tally()
    chance = random.Random(seed)  # noqa: S311 (no secret)
    with simulator(folder) as cxone:
        cxone.fail("signal", latency_seconds=SIGNAL_SECONDS, times=None)
        config = folder / "target.yaml"
        config.write_text(yaml.safe_dump(settings_of_killed(folder, cxone)))
        with KilledBridge(folder, config) as target:
            for number in range(kills):
                target.start()
                _one_round(target, cxone, folder, f"{seed}k{number}", chance, tally)
                if report and (number + 1) % 10 == 0:
                    report(f"{tally}\n")
    return tally


class KilledBridge:
    """A bridge that is started on the same files each time."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder
        self._config = config
        self._starts = 0
        self._running = ExitStack()
        self.bridge: Bridge

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self._starts or not self.bridge.program.is_running:
            self._starts += 1
            log = self._folder / f"bridge-{self._starts}.log"
            self.bridge = self._running.enter_context(
                running_bridge(self._config, log, {"SIPBRIDGE_LOG_LEVEL": "DEBUG"})
            )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.bridge.program.kill()
        self._running.close()

    def has_recovered(self) -> bool:
        """True if it has finished the recovery of its start."""
        return "recovery_ended" in self.bridge.program.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


def _one_round(
    target: KilledBridge, cxone: Simulator, folder: Path, prefix: str, chance: random.Random, tally: Tally
) -> None:
    began = time.monotonic()
    calls = {project: place_calls(target.bridge, project, folder, prefix) for project in SCENARIOS}
    try:
        # The moment itself is the test: there is no event to wait for.
        time.sleep(chance.uniform(0.1, LATEST_KILL_SECONDS) - (time.monotonic() - began))
        target.kill()
    finally:
        for sipp in calls.values():
            sipp.program.kill()
    target.start()
    wait_for(target.has_recovered, "the recovery to end", 60)
    tally.kills += 1
    outcomes = check_calls(target.bridge, cxone, calls, prefix, RESTARTED)
    tally.answered += outcomes.total()
    tally.outcomes += outcomes


if __name__ == "__main__":
    sys.exit(main())
