"""`make bench-media`: the cost of a call with audio to the bridge, and the quality of the audio (docs/benchmark.md).

Callers and agents are processes of the benchmark that send and receive stamped frames; SIPp does the signalling.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings
from tests.harness.usage import allow_many_sockets

from .media_level import NUMBER, PROJECT, MediaLevel
from .media_report import print_report
from .media_results import Report

KINDS = ("sip", "websocket", "echo")
SIP_SETTINGS = {"max_calls": 500, "rtp_ports": [20_000, 29_999]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file. A missed limit is printed, and does not fail the run."""
    options = _options(arguments)
    allow_many_sockets()
    report = Report(cores=os.cpu_count() or 0, seconds=options.seconds)
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name, simulator(Path(name)) as cxone:
        for kind in options.kinds:
            for calls in options.calls:
                sys.stderr.write(f"{calls} calls, {kind} agents …\n")
                folder = Path(name) / f"{kind}-{calls}"
                folder.mkdir()
                serve = bridge_with_agents(folder, cxone.url)
                report.levels.append(MediaLevel(folder, kind, calls, options.seconds, serve).measure())
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.media", description="Measure calls with audio.")
    counts = lambda text: [int(count) for count in text.split(",")]  # noqa: E731 (argparse wants a callable)
    parser.add_argument("--calls", type=counts, default=[100, 200, 400], metavar="N,N", help="simultaneous calls")
    parser.add_argument("--seconds", type=float, default=30, help="how long all of them are in progress")
    parser.add_argument("--kinds", type=_kinds, default=list(KINDS), metavar="KIND,KIND", help=", ".join(KINDS))
    parser.add_argument("--output", type=Path, default=Path("build/bench-media.json"), help="the file for all figures")
    return parser.parse_args(arguments)


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if not set(kinds) <= set(KINDS):
        raise argparse.ArgumentTypeError(f"write one or more of {', '.join(KINDS)}, with a comma between them")
    return kinds


def bridge_with_agents(folder: Path, cxone_url: str) -> Callable[[str], AbstractContextManager[Bridge]]:
    """Return what starts a bridge, all features on, whose agents are at an address: SIP if it is a SIP URI."""

    def serve(address: str) -> AbstractContextManager[Bridge]:
        agent = {"type": "sip", "uri": address} if address.startswith("sip:") else {"type": "websocket", "url": address}
        projects = {PROJECT: project_settings(PROJECT, agent=agent)}
        clients = {"bench": client_settings(NUMBER, cxone_url, projects)}
        return bridge(bridge_settings(folder, clients, sip=SIP_SETTINGS), folder)

    return serve


if __name__ == "__main__":
    sys.exit(main())
