"""`make takeovers`: kill or stop one of two nodes during calls, again and again, and check how the other saves them.

Each round places calls that are about to hand off on the first node, with a slow CXone. At a random moment it kills the
node (SIGKILL), or stops it (SIGSTOP) until the second node has taken its calls over. Then it compares as `make kills`
does: each contact has one Signal at most, and one of which none is known to have arrived has its record.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.harness.programs.bridge import Bridge, running_bridge
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .killed_calls import (
    SCENARIOS,
    SIGNAL_SECONDS,
    check_calls,
    place_calls,
    settings_of_killed,
)

LEASE_SECONDS = 1
LATEST_SECONDS = 2.5
TAKEOVER_SECONDS = 60  # at most, on a busy machine
NODE_LOST = "node_lost"


@dataclass
class Tally:
    """The results of all rounds. `outcomes` counts the answered calls by how the second node found them."""

    kills: int = 0
    stops: int = 0
    answered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0  # from the kill to the end of a takeover

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.kills} kills and {self.stops} stops survived, {self.answered} answered calls: {parts}; "
            f"longest takeover {self.longest_seconds:.1f} s of leases of {LEASE_SECONDS} s"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this many rounds; exit with 1 at the first call that was not saved correctly."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.takeovers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sipbridge-takeovers-") as name:
        tally = run_takeovers(Path(name), options.rounds, options.seed)
    sys.stdout.write(f"{tally}\n")
    return 0


def run_takeovers(folder: Path, rounds: int, seed: int) -> Tally:
    """Run this many rounds. Raises `KillError`."""
    tally = Tally()
    chance = random.Random(seed)  # noqa: S311 (no secret)
    with simulator(folder) as cxone, redis_server(folder) as redis, ExitStack() as stack:
        cxone.fail("signal", latency_seconds=SIGNAL_SECONDS, times=None)
        nodes = _Nodes(folder, cxone, redis, stack)
        for number in range(rounds):
            nodes.start()
            _one_round(nodes, f"{seed}t{number}", chance, tally, stopped=number % 2 == 1)
    return tally


class _Nodes:
    """Two nodes. The first one is started again when it was killed."""

    def __init__(self, folder: Path, cxone: Simulator, redis: RedisServer, stack: ExitStack) -> None:
        self.folder = folder
        self.cxone = cxone
        self._redis = redis
        self._stack = stack
        self._starts = 0
        self.second = self._run("second")
        self.first: Bridge | None = None

    def start(self) -> Bridge:
        """Return the first node once both are in Redis and nothing of an earlier one is left."""
        if self.first is None or not self.first.program.is_running:
            self.first = self._run("first")
        wait_for(lambda: self._redis.run("HLEN", "sipbridge:nodes") == 2, "two nodes in Redis", TAKEOVER_SECONDS)
        ready = self.first.http + "/readyz"
        wait_for(lambda: _is_ready(ready), "readiness", TAKEOVER_SECONDS)
        return self.first

    def takeovers(self) -> float:
        """Return how many the second node has done."""
        return self.second.metrics().value("sipbridge_node_takeovers_total")

    def _run(self, name: str) -> Bridge:
        self._starts += 1
        shared = on_redis(self._redis.url, name, lease_seconds=LEASE_SECONDS)
        settings = settings_of_killed(self.folder, self.cxone)
        settings |= {**shared, "http": settings["http"] | shared["http"]}
        settings["store"]["journal"] = str(self.folder / f"{name}-{self._starts}.journal")
        file = self.folder / f"{name}-{self._starts}.yaml"
        file.write_text(yaml.safe_dump(settings))
        log = file.with_suffix(".log")
        return self._stack.enter_context(running_bridge(file, log, {"SIPBRIDGE_LOG_LEVEL": "DEBUG"}))


def _is_ready(url: str) -> bool:
    return fetch(url).status == 200


def _one_round(nodes: _Nodes, prefix: str, chance: random.Random, tally: Tally, *, stopped: bool) -> None:
    first, before = nodes.start(), nodes.takeovers()
    began = time.monotonic()
    calls = {project: place_calls(first, project, nodes.folder, prefix) for project in SCENARIOS}
    try:
        # The moment itself is the test: there is no event to wait for.
        time.sleep(chance.uniform(0.1, LATEST_SECONDS) - (time.monotonic() - began))
        if stopped:
            os.kill(first.program.pid, signal.SIGSTOP)
        else:
            first.program.kill()
        killed_at = time.monotonic()
        wait_for(lambda: nodes.takeovers() > before, "the takeover", TAKEOVER_SECONDS)
        tally.longest_seconds = max(tally.longest_seconds, time.monotonic() - killed_at)
        if stopped:
            os.kill(first.program.pid, signal.SIGCONT)
            first.wait_until_idle(TAKEOVER_SECONDS)
    finally:
        for sipp in calls.values():
            sipp.program.kill()
    tally.kills += not stopped
    tally.stops += stopped
    outcomes = check_calls(nodes.second, nodes.cxone, calls, prefix, NODE_LOST)
    tally.answered += outcomes.total()
    tally.outcomes += outcomes


if __name__ == "__main__":
    sys.exit(main())
