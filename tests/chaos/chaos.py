"""`make chaos`: several nodes under load, and every fault that a cluster must survive, one after another.

Three nodes run behind Kamailio, on a Redis with a replica and a Sentinel. After each fault the callers, CXone, the
store and the readers of events are compared: no contact may be signalled twice, and none may be lost. Meanwhile chats
relay messages both ways, each of which must arrive once.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.harness.programs.program import ProgramError
from tests.harness.usage import allow_many_sockets

from .cluster import cluster
from .counts import Counts
from .phases import PHASES
from .report import print_result
from .run import Plan, Report, Run, event_readers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the phases, and print the counts; return 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.chaos", description=__doc__)
    parser.add_argument("--phases", type=phases_of, default=tuple(PHASES), help="some of " + ",".join(PHASES))
    parser.add_argument("--kills", type=int, default=Plan.kills, help="of random nodes, in the phase of that name")
    parser.add_argument("--rate", type=float, default=Plan.calls_per_second, help="calls per second")
    parser.add_argument("--chats", type=int, default=Plan.chats, help="number of chats at any moment")
    parser.add_argument("--stop-seconds", type=float, default=Plan.stop_seconds, help="for which a node stands still")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of the moments of the faults")
    parser.add_argument("--keep", action="store_true", help="keep the logs in any case")
    options = parser.parse_args(arguments)
    allow_many_sockets()
    folder = Path(tempfile.mkdtemp(prefix="sipbridge-chaos-"))
    sys.stderr.write(f"Logs: {folder}\n")
    plan = Plan(options.rate, options.chats, kills=options.kills, stop_seconds=options.stop_seconds, seed=options.seed)
    run = run_phases(folder, options.phases, plan, sys.stderr.write)
    return print_result(run.counts, run.cluster.chats, folder, keep=options.keep)


def run_phases(folder: Path, phases: Sequence[str], plan: Plan, report: Report) -> Run:
    """Run these phases, until the first from which the cluster does not recover."""
    with cluster(folder, plan.seed, plan.chat_pause_seconds) as running, ExitStack() as stack:
        readers = [stack.enter_context(reader) for reader in event_readers(running)]
        run = Run(running, readers, random.Random(plan.seed), report, plan)  # noqa: S311 (no secret)
        if plan.chats:
            running.chats.begin(plan.chats)
        for name in phases:
            lease_seconds = plan.lease_seconds or PHASES[name].lease_seconds
            if lease_seconds != running.lease_seconds:
                running.restart_all(lease_seconds)
            run.tell(f"{name}: begins, with leases of {lease_seconds:g} s")
            try:
                PHASES[name].inflict(run)
            except (TimeoutError, ProgramError) as error:
                run.counts.setdefault(name, Counts()).check(f"the cluster did not recover: {error}", [name])
                break
            run.count_chats(name)
        running.chats.end()
    return run


def phases_of(value: str) -> tuple[str, ...]:
    """Return the phases in a list with commas. Raises `ArgumentTypeError`."""
    phases = tuple(value.split(","))
    if unknown := set(phases) - PHASES.keys():
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; use some of {','.join(PHASES)}")
    return phases


if __name__ == "__main__":
    sys.exit(main())
