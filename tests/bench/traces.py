"""Measure what traces cost the bridge: without them, with a collector, and with collectors that are down.

The bridges take the same handoffs in turn, round after round, so that a busy machine affects all of them alike.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.usage import allow_many_sockets, cpu_ms
from tests.harness.web.trace_collector import trace_collector

from .handoff_load import HandoffLoad
from .handoffs import NUMBER, REFER

TRACES_THREAD = "traces"  # its name in the kernel


@dataclass
class Measured:
    """A bridge, and its processor time: milliseconds per handoff of each round, percent of a core without calls."""

    name: str
    bridge: Bridge
    handoff_ms: list[float] = field(default_factory=list)
    thread_ms: list[float] = field(default_factory=list)
    failed: int = 0
    at_rest_percent: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name, ExitStack() as stack:
        bridges = _open(Path(name), stack)
        for each in bridges:
            _load(each.bridge, options.rate, 4).run(each.bridge.program.pid)
        _measure_at_rest(bridges, options.rest_seconds)
        for _ in range(options.rounds):
            for each in bridges:
                _measure(each, options.rate, options.seconds)
        _print(bridges, options.rate)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.traces", description=__doc__)
    parser.add_argument("--rate", type=int, default=50, help="handoffs per second")
    parser.add_argument("--seconds", type=int, default=10, help="duration of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each bridge")
    parser.add_argument("--rest-seconds", type=int, default=20, help="how long the bridges are measured without calls")
    return parser.parse_args(arguments)


def _open(folder: Path, stack: ExitStack) -> list[Measured]:
    cxone = stack.enter_context(simulator(folder))
    black_hole = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
    collectors = {
        "no traces": None,
        "collector": stack.enter_context(_collector()),
        "refused": f"http://127.0.0.1:{reserved_port()}",
        "black hole": f"http://127.0.0.1:{black_hole.getsockname()[1]}",
    }
    projects = {"handoff": project_settings("handoff", REFER)}
    found = []
    for name, url in collectors.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        settings = bridge_settings(own, {"bench": client_settings(NUMBER, cxone.url, projects)})
        settings["telemetry"] = {"otlp_endpoint": url}
        found.append(Measured(name, stack.enter_context(bridge(settings, own))))
    return found


@contextmanager
def _collector() -> Iterator[str]:
    """Run a collector in a process of its own, since this one keeps time; return its URL."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield str(here.recv())
    finally:
        here.send(None)
        process.join()


def _serve(connection: Connection) -> None:
    with trace_collector() as collector:
        connection.send(collector.url)
        connection.recv()


def _measure_at_rest(bridges: Sequence[Measured], seconds: int) -> None:
    spent = [cpu_ms(each.bridge.program.pid) for each in bridges]
    time.sleep(seconds)
    for each, before in zip(bridges, spent, strict=True):
        each.at_rest_percent = (cpu_ms(each.bridge.program.pid) - before) / seconds / 10


def _measure(measured: Measured, rate: int, seconds: int) -> None:
    result = _load(measured.bridge, rate, seconds).run(measured.bridge.program.pid)
    measured.handoff_ms.append(result.cpu_ms_per_call)
    thread = result.threads.get(TRACES_THREAD)
    measured.thread_ms.append(thread.cpu_ms if thread else 0.0)
    measured.failed += result.failed


def _load(running: Bridge, rate: int, seconds: int) -> HandoffLoad:
    return HandoffLoad(running.sip, NUMBER, token("handoff"), "traces", rate, rate * seconds)


def _print(bridges: Sequence[Measured], rate: int) -> None:
    write = sys.stdout.write
    write(
        f"\nHandoffs at {rate} per second: ms of processor time per handoff, median (least to most) of the rounds\n\n"
    )
    write(f"{'':12}{'failed':>8}{'all threads':>26}{'thread traces':>16}{'at rest, % of a core':>24}\n")
    for each in bridges:
        all_ms = f"{statistics.median(each.handoff_ms):.2f} ({min(each.handoff_ms):.2f} to {max(each.handoff_ms):.2f})"
        own_ms = statistics.median(each.thread_ms)
        write(f"{each.name:12}{each.failed:>8}{all_ms:>26}{own_ms:>16.3f}{each.at_rest_percent:>24.2f}\n")


if __name__ == "__main__":
    sys.exit(main())
