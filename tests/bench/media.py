"""`make bench-media`: the cost of a call with audio to the bridge, and the quality of the audio (docs/benchmark.md).

Callers and agents are processes of the benchmark that send and receive stamped frames; SIPp does the signalling.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.harness.media.quality import measure_streams
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.usage import MachineTime, allow_many_sockets, cpu_ms, rss_mb

from .load import Load as SippLoad
from .media_load import Load, media_load
from .media_report import Direction, Level, Report, print_report

NUMBER = "+19995550001"
KINDS = ("sip", "websocket")
CALLS_PER_SECOND = 25
AGENTS_FIRST_STREAM = 10_000
SETTLE_SECONDS = 2.0  # after the last call is answered, and before the first call
AFTER_SECONDS = 4.0  # for the first call to outlast the measurement
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
                report.levels.append(_Bench(folder, cxone, kind, calls, options.seconds).measure())
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.media", description="Measure calls with audio.")
    counts = lambda text: [int(count) for count in text.split(",")]  # noqa: E731 (argparse wants a callable)
    parser.add_argument("--calls", type=counts, default=[50, 100, 150], metavar="N,N", help="simultaneous calls")
    parser.add_argument("--seconds", type=float, default=30, help="how long all of them are in progress")
    parser.add_argument("--kinds", type=_kinds, default=list(KINDS), metavar="KIND,KIND", help=" or ".join(KINDS))
    parser.add_argument("--output", type=Path, default=Path("build/bench-media.json"), help="the file for all figures")
    return parser.parse_args(arguments)


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if not set(kinds) <= set(KINDS):
        raise argparse.ArgumentTypeError(f"write {' or '.join(KINDS)}, or both with a comma")
    return kinds


@dataclass(frozen=True)
class _Usage:
    """Processor time so far: of the bridge, the callers' processes, the agents' process, and the machine."""

    at_ns: int
    ms: tuple[float, float, float]
    machine: MachineTime

    @classmethod
    def now(cls, *groups: Sequence[int]) -> _Usage:
        bridge, callers, agents = (sum(map(cpu_ms, pids)) for pids in groups)
        return cls(time.time_ns(), (bridge, callers, agents), MachineTime.now())

    def percent(self, until: _Usage) -> list[float]:
        """The percentage of one core until then."""
        elapsed_ms = (until.at_ns - self.at_ns) / 1e6
        return [100 * (after - before) / elapsed_ms for before, after in zip(self.ms, until.ms, strict=True)]


@dataclass(frozen=True)
class _Bench:
    """Measure one level with a bridge of its own, so that memory at rest is that of a fresh process."""

    folder: Path
    cxone: Simulator
    kind: str
    calls: int
    seconds: float

    def measure(self) -> Level:
        with ExitStack() as stack:
            sound = "rtp" if self.kind == "sip" else "websocket"
            callers = stack.enter_context(media_load("rtp", self.folder, "callers", 0))
            agents = stack.enter_context(media_load(sound, self.folder, "agents", AGENTS_FIRST_STREAM))
            answering = self._answering(agents, stack)
            running = stack.enter_context(bridge(self._settings(agents, answering), self.folder))
            return self._run(running, callers, agents, answering)

    def _answering(self, agents: Load, stack: ExitStack) -> list[Sipp]:
        """Start SIPp as the SIP agents' signalling, if the agents speak SIP."""
        if self.kind != "sip":
            return []
        options = ("-timer_resol", "1", "-buff_size", "4194304")
        sipp = Sipp("media_agent", self.folder, keys={"rtp_port": agents.where}, options=options)
        return [stack.enter_context(sipp).await_port()]

    def _settings(self, agents: Load, answering: list[Sipp]) -> dict[str, object]:
        agent = (
            {"type": "sip", "uri": f"sip:agent@127.0.0.1:{answering[0].port}"}
            if answering
            else {"type": "websocket", "url": agents.where}
        )
        projects = {"media": project_settings("media", agent=agent)}
        clients = {"bench": client_settings(NUMBER, self.cxone.url, projects)}
        return bridge_settings(self.folder, clients, sip=SIP_SETTINGS)

    def _run(self, bridge: Bridge, callers: Load, agents: Load, answering: list[Sipp]) -> Level:
        pid = bridge.program.pid
        ramp = self.calls / CALLS_PER_SECOND
        hold = ramp + 2 * SETTLE_SECONDS + self.seconds + AFTER_SECONDS
        keys = {"token": token("media"), "contact_id": "media", "rtp_port": callers.where}
        load = SippLoad("load_media", bridge.sip, NUMBER, keys, CALLS_PER_SECOND, self.calls, hold)
        time.sleep(SETTLE_SECONDS)
        rss_idle, spent, began = rss_mb(pid), cpu_ms(pid), time.monotonic()
        time.sleep(SETTLE_SECONDS)
        idle = (cpu_ms(pid) - spent) / (time.monotonic() - began) / 10
        with load.start(self.folder / "calls") as sipp:
            bridge.wait_for_metric(self.calls, "sipbridge_calls_active", ramp + SETTLE_SECONDS + AFTER_SECONDS)
            time.sleep(SETTLE_SECONDS)
            groups = (
                [pid],
                [callers.program.pid, sipp.program.pid],
                [agents.program.pid, *(each.program.pid for each in answering)],
            )
            before = _Usage.now(*groups)
            time.sleep(self.seconds)
            after = _Usage.now(*groups)
            if not bridge.program.is_running:
                raise bridge.program.error("ended with calls in progress")
            rss_now = rss_mb(pid)
            sipp.wait(hold + 60)
        at_callers, at_agents = callers.stop(), agents.stop()
        span = (before.at_ns, after.at_ns)
        without_audio = self.calls - min(len(at_callers.sent), len(at_agents.sent))
        of_bridge, of_callers, of_agents = before.percent(after)
        busy = before.machine.busy_percent(after.machine)
        return Level(
            kind=self.kind,
            calls=self.calls,
            failed=max(without_audio, load.result(self.folder / "calls", spent_ms=0).failed),
            bridge_idle_percent=idle,
            bridge_percent=of_bridge,
            callers_percent=of_callers,
            agents_percent=of_agents,
            machine_busy_percent=busy,
            machine_stolen_percent=before.machine.stolen_percent(after.machine),
            machine_other_percent=max(0.0, busy - (of_bridge + of_callers + of_agents) / (os.cpu_count() or 1)),
            rss_idle_mb=rss_idle,
            rss_per_call_mb=(rss_now - rss_idle) / self.calls,
            to_agent=Direction.of(measure_streams(at_callers.sent, at_agents.received, *span)),
            to_caller=Direction.of(measure_streams(at_agents.sent, at_callers.received, *span)),
            generators_unevenness_p99_ms=max(at_callers.unevenness_ms, at_agents.unevenness_ms),
            generators_dropped=at_callers.dropped + at_agents.dropped,
        )


if __name__ == "__main__":
    sys.exit(main())
