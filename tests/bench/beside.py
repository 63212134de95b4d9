"""Handoffs of two checkouts at the same time, for a change that is smaller than what the machine's speed changes by.

Each bridge has a trunk and a simulator of its own, and the same rate. So other programs, and the speed of the machine,
make no difference between the two, and the ratio of a round is within a few percent of that of the next one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.threads import NO_USAGE, ThreadUsage
from tests.harness.usage import allow_many_sockets

from .handoff_load import HandoffLoad
from .handoffs import MAX_CALLS, NUMBER, REFER, WARM_UP_RATE, WARM_UP_SECONDS
from .load import LoadResult

RTP_PORTS = ((12_000, 21_999), (22_000, 31_999))  # of the two bridges
_SHOWN_MS = 0.005  # per handoff: threads that use less are not shown

# Executes the bridge of another checkout: the first argument is its program, the second the one that it replaces.
_OF_ANOTHER = ("sh", "-c", 'shift; exec "$0" "$@"')


@dataclass(frozen=True, slots=True)
class Round:
    """The same load on both bridges at the same time."""

    other: LoadResult
    own: LoadResult

    @property
    def ratio(self) -> float:
        """The processor time per handoff of this checkout's bridge, as a part of the other's."""
        return total(self.own).cpu_ms / total(self.other).cpu_ms


def total(load: LoadResult) -> ThreadUsage:
    """Return what all threads used per handoff."""
    return sum(load.threads.values(), NO_USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name:
        rounds = measure(Path(name), options)
    sys.stdout.write(report(rounds))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside", description="Compare two checkouts.")
    parser.add_argument("other", type=Path, help="another checkout, after `make setup`")
    parser.add_argument("--rate", type=int, default=50, help="handoffs per second, for each of the two")
    parser.add_argument("--seconds", type=int, default=6, help="duration of a round")
    parser.add_argument("--rounds", type=int, default=6, help="number of rounds")
    return parser.parse_args(arguments)


def measure(folder: Path, options: argparse.Namespace) -> list[Round]:
    """Run the rounds with freshly started bridges; the first is the other checkout's."""
    program = (options.other / ".venv/bin/sipbridge").absolute()
    launchers: tuple[tuple[str | Path, ...], ...] = ((*_OF_ANOTHER, program), ())
    with ExitStack() as stack, ProcessPoolExecutor(len(launchers)) as trunks:
        bridges = [
            stack.enter_context(_serving(folder / str(number), RTP_PORTS[number], launcher))
            for number, launcher in enumerate(launchers)
        ]

        def run(name: str, rate: int, seconds: int) -> Round:
            loads = [
                trunks.submit(
                    HandoffLoad(each.sip, NUMBER, token("handoff"), name, rate, rate * seconds).run, each.program.pid
                )
                for each in bridges
            ]
            other, own = (load.result() for load in loads)
            return Round(other, own)

        run("warm-up", WARM_UP_RATE, min(WARM_UP_SECONDS, options.seconds))
        rounds = []
        for number in range(1, options.rounds + 1):
            sys.stderr.write(f"round {number} …\n")
            rounds.append(run(f"round-{number}", options.rate, options.seconds))
        return rounds


@contextmanager
def _serving(folder: Path, rtp_ports: tuple[int, int], launcher: Sequence[str | Path]) -> Iterator[Bridge]:
    folder.mkdir()
    with simulator(folder) as cxone:
        projects = {"handoff": project_settings("handoff", REFER)}
        settings = bridge_settings(
            folder,
            {"bench": client_settings(NUMBER, cxone.url, projects)},
            sip={"max_calls": MAX_CALLS, "rtp_ports": list(rtp_ports)},
        )
        with bridge(settings, folder, launcher=launcher) as running:
            yield running


def report(rounds: Sequence[Round]) -> str:
    """Return the ratios of all rounds, and the means of each thread."""
    loads = [[each.other for each in rounds], [each.own for each in rounds]]
    ratios = " ".join(f"{each.ratio:.3f}" for each in rounds)
    before, after = (statistics.mean(total(load).cpu_ms for load in each) for each in loads)
    failed = " and ".join(str(sum(load.failed for load in each)) for each in loads)
    lines = [
        f"\nRatio of the processor time per handoff in each round: {ratios}; failed: {failed}\n",
        f"{'':24}{'other checkout':>16}{'this one':>16}{'ratio':>8}",
        f"{'':24}{'ms CPU   waits':>16}{'ms CPU   waits':>16}",
    ]
    names = {name for each in loads for load in each for name in load.threads}
    threads = {name: [_mean(each, name) for each in loads] for name in names}
    busiest = sorted(threads.items(), key=lambda row: row[1][0].cpu_ms, reverse=True)
    lines += [_row(name, *usage) for name, usage in busiest if usage[0].cpu_ms >= _SHOWN_MS]
    lines.append(f"{'all':24}{before:>8.3f}{'':8}{after:>8.3f}{'':8}{after / before:>8.3f}")
    return "\n".join(lines) + "\n"


def _mean(loads: Sequence[LoadResult], thread: str) -> ThreadUsage:
    return sum((load.threads.get(thread, NO_USAGE) for load in loads), NO_USAGE) * (1 / len(loads))


def _row(name: str, before: ThreadUsage, after: ThreadUsage) -> str:
    ratio = after.cpu_ms / before.cpu_ms
    return f"{name:24}{before.cpu_ms:>8.3f}{before.waits:>8.1f}{after.cpu_ms:>8.3f}{after.waits:>8.1f}{ratio:>8.3f}"


if __name__ == "__main__":
    sys.exit(main())
