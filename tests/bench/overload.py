"""`make overload`: the fate of calls when three times as many arrive as the machine can carry.

SIPp is the trunk and the simulator is CXone; both share the machine with the bridge.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.usage import allow_many_sockets, cpu_ms

from .handoffs import MAX_CALLS, NUMBER, REFER
from .load import Load
from .overload_report import Overload, Report, print_report
from .pressure import Pressure

PROJECT = "overload"
FIRST_RATE, STEP, LAST_RATE = 60, 1.4, 2000
TIMES = 3
CARRIED_P95_MS = 500  # an INVITE that waits longer is retransmitted (RFC 3261, T1): the machine is at its limit


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the file; return 1 if a limit is missed."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-overload-") as name:
        report = measure(Path(name), options.rate, options.seconds, options.probe_seconds)
    met = print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0 if met else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description="Offer too many calls.")
    parser.add_argument(
        "--rate", type=int, help="calls to offer per second; by default three times the rate that the machine carries"
    )
    parser.add_argument("--seconds", type=int, default=20, help="duration of the overload")
    parser.add_argument(
        "--probe-seconds", type=int, default=4, help="duration at each rate while the carried rate is searched"
    )
    parser.add_argument("--output", type=Path, default=Path("build/overload.json"), help="the file for all figures")
    return parser.parse_args(arguments)


def measure(folder: Path, rate: int | None, seconds: int, probe_seconds: int) -> Report:
    """Find the rate that the machine carries, unless a rate is given, and offer more."""
    with simulator(folder) as cxone:
        projects = {PROJECT: project_settings(PROJECT, REFER)}
        settings = bridge_settings(
            folder,
            {"overload": client_settings(NUMBER, cxone.url, projects)},
            sip={"max_calls": MAX_CALLS, "rtp_ports": [20_000, 29_999]},
        )
        with bridge(settings, folder) as one:
            carried = None if rate else _find_rate(one, folder, probe_seconds)
            offered = rate or TIMES * (carried or FIRST_RATE)
            return Report(carried, _overload(one, folder, offered, seconds))


def _find_rate(bridge: Bridge, folder: Path, seconds: int) -> int:
    """Return the highest tried rate at which every call was answered in time and handed off."""
    carried, rate = 0, float(FIRST_RATE)
    while rate <= LAST_RATE:
        sys.stderr.write(f"{rate:.0f} per second …\n")
        result = _load("load_handoff", bridge, round(rate), seconds).run(
            folder / f"probe-{rate:.0f}", bridge.program.pid
        )
        bridge.wait_until_idle(120)
        if result.failed or not result.setup.p95 < CARRIED_P95_MS:
            break
        carried = round(rate)
        rate *= STEP
    return carried


def _overload(bridge: Bridge, folder: Path, rate: int, seconds: int) -> Overload:
    sys.stderr.write(f"{rate} per second for {seconds} s …\n")
    before = bridge.metrics()
    load = _load("load_overload", bridge, rate, seconds)
    spent = cpu_ms(bridge.program.pid)
    with (
        Pressure(bridge.program.pid, int(bridge.sip.rpartition(":")[2])) as pressure,
        load.start(folder / "overload") as sipp,
    ):
        sipp.wait(seconds + 120)
    bridge.wait_until_idle(120)
    metrics = bridge.metrics()
    return Overload.read(
        load,
        folder / "overload",
        pressure,
        cpu_ms_per_call=(cpu_ms(bridge.program.pid) - spent) / load.calls,
        handed_off=round(metrics.since(before, "sipbridge_handoffs_total", result="success")),
        counted_503=round(metrics.since(before, "sipbridge_invites_total", code="503")),
        counted_200=round(metrics.since(before, "sipbridge_invites_total", code="200")),
    )


def _load(scenario: str, bridge: Bridge, rate: int, seconds: int) -> Load:
    keys = {"token": token(PROJECT), "contact_id": f"{scenario.rpartition('_')[2]}-{rate}"}
    return Load(scenario, bridge.sip, NUMBER, keys, rate, math.ceil(rate * seconds))


if __name__ == "__main__":
    sys.exit(main())
