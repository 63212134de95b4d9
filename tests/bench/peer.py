"""`make bench-peer`: the bridge and Asterisk with the same calls, in turn in one run (docs/benchmark.md).

Each level has a fresh program, the same trunk, callers and agents, and the same simulated CXone.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from sipbridge import __version__
from sipbridge.simulators.cxone import DEMO_TENANT
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.usage import allow_many_sockets

from .asterisk_server import Asterisk, AsteriskSettings, asterisk, version
from .handoff_load import HandoffLoad
from .handoffs import MAX_CALLS, REFER, WARM_UP_RATE, WARM_UP_SECONDS
from .media_level import NUMBER, PROJECT, MediaLevel
from .peer_report import ASTERISK, SIPBRIDGE, AudioRun, HandoffRun, Report, figures, print_report
from .sip_server import SipServer, wait_for_calls

HANDOFF = "handoff"
IDLE_SECONDS = 30  # at most, after the warm-up
SIP_SETTINGS = {"max_calls": MAX_CALLS, "rtp_ports": [20_000, 29_999]}

# Starts a program whose agents have that address; its files go to the folder.
Serve = Callable[[Path, str], AbstractContextManager[SipServer]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the ratios, write the file."""
    options = read_options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name, simulator(Path(name)) as cxone:
        systems = {SIPBRIDGE: serving_bridge(cxone.url), ASTERISK: _serving_asterisk(options.asterisk, cxone.url)}
        versions = {SIPBRIDGE: f"sipbridge {__version__}", ASTERISK: version(options.asterisk)}
        report = PeerBench(Path(name), options, systems, versions).measure()
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(report) | {"figures": [figure.as_json() for figure in figures(report)]}
    options.output.write_text(json.dumps(content, indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peer", description="Compare the bridge and Asterisk.")
    numbers = lambda text: [int(number) for number in text.split(",") if number]  # noqa: E731 (argparse wants a callable)
    parser.add_argument("--asterisk", type=Path, required=True, help="the folder of a system with Asterisk")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured; the report has the medians")
    parser.add_argument("--rates", type=numbers, default=[50, 200, 500], metavar="N,N", help="handoffs per second")
    parser.add_argument("--seconds", type=int, default=10, help="duration at each rate")
    parser.add_argument(
        "--calls", type=numbers, default=[100, 200], metavar="N,N", help="simultaneous calls with audio"
    )
    parser.add_argument("--audio-seconds", type=float, default=20, help="how long all of them are in progress")
    parser.add_argument("--output", type=Path, default=Path("build/bench-peer.json"), help="the file for all figures")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class PeerBench:
    """All levels of all rounds. The systems take turns at each level, as the machine's own speed changes over time."""

    folder: Path
    options: argparse.Namespace
    systems: Mapping[str, Serve]
    versions: Mapping[str, str]

    def measure(self) -> Report:
        """Measure everything."""
        report = Report(dict(self.versions), os.cpu_count() or 0, self.options.rounds)
        for number in range(1, self.options.rounds + 1):
            for rate in self.options.rates:
                for system in self.systems:
                    folder = self._folder(f"round {number}: {rate} handoffs per second, {system}")
                    report.handoffs.append(self._handoffs(folder, system, rate))
            for calls in self.options.calls:
                for system in self.systems:
                    folder = self._folder(f"round {number}: {calls} calls with an echo, {system}")
                    report.audio.append(self._audio(folder, system, calls))
        return report

    def _handoffs(self, folder: Path, system: str, rate: int) -> HandoffRun:
        with self.systems[system](folder, "ws://127.0.0.1:9/") as server:
            pid = server.program.pid
            self._load(server, WARM_UP_RATE, min(WARM_UP_SECONDS, self.options.seconds)).run(pid)
            wait_for_calls(server, 0, IDLE_SECONDS)
            return HandoffRun(system, self._load(server, rate, self.options.seconds).run(pid))

    def _audio(self, folder: Path, system: str, calls: int) -> AudioRun:
        serve = lambda address: self.systems[system](folder, address)  # noqa: E731 (one expression)
        return AudioRun(system, MediaLevel(folder, "echo", calls, self.options.audio_seconds, serve).measure())

    @staticmethod
    def _load(server: SipServer, rate: int, seconds: int) -> HandoffLoad:
        return HandoffLoad(server.sip, NUMBER, token(HANDOFF), f"rate-{rate}", rate, rate * seconds)

    def _folder(self, what: str) -> Path:
        sys.stderr.write(f"{what} …\n")
        folder = self.folder / re.sub(r"\W+", "-", what)
        folder.mkdir()
        return folder


def serving_bridge(cxone_url: str) -> Serve:
    """Return what starts a bridge, all features on."""

    def serve(folder: Path, agents: str) -> AbstractContextManager[Bridge]:
        projects = {
            HANDOFF: project_settings(HANDOFF, REFER),
            PROJECT: project_settings(PROJECT, agent={"type": "websocket", "url": agents}),
        }
        clients = {"bench": client_settings(NUMBER, cxone_url, projects)}
        return bridge(bridge_settings(folder, clients, sip=SIP_SETTINGS), folder)

    return serve


def _serving_asterisk(root: Path, cxone_url: str) -> Serve:
    """Return what starts an Asterisk, with an access token of the simulator, as it cannot get one itself."""
    settings = AsteriskSettings(
        number=NUMBER,
        handoff_token=token(HANDOFF),
        audio_token=token(PROJECT),
        signals_url=f"{cxone_url}/inContactAPI/services/v30.0/interactions",
        access_token=_access_token(cxone_url),
        transfer_uri=str(REFER["uri"]),
        agent="",
    )

    def serve(folder: Path, agents: str) -> AbstractContextManager[Asterisk]:
        return asterisk(root, folder / "asterisk.log", replace(settings, agent=agents))

    return serve


def _access_token(cxone_url: str) -> str:
    tenant = DEMO_TENANT
    client = base64.b64encode(f"{tenant.client_id}:{tenant.client_secret}".encode()).decode()
    form = {"grant_type": "password", "username": tenant.access_key_id, "password": tenant.access_key_secret}
    request = Request(f"{cxone_url}/auth/token", urlencode(form).encode(), {"Authorization": f"Basic {client}"})  # noqa: S310 (the simulator's)
    with urlopen(request) as response:  # noqa: S310 (the same)
        return str(json.load(response)["access_token"])


if __name__ == "__main__":
    sys.exit(main())
