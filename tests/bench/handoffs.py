"""`make bench`: what the bridge carries on this machine, compared with SIPp alone (docs/benchmark.md).

This process is the trunk of the handoffs, SIPp that of the held calls, and the simulator is CXone; all of them share
the machine with the bridge.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.redis import redis_server
from tests.harness.programs.simulator import simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import bridge_settings, client_settings, on_redis, project_settings, token
from tests.harness.usage import allow_many_sockets, cpu_ms, rss_mb

from .handoff_load import HandoffLoad
from .handoffs_report import Handoffs, Held, Report, print_report
from .load import Load

NUMBER = "+19995550001"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080", "headers": {"X-Queue": "sales"}}
MAX_CALLS = 2000
HELD_CALLS_PER_SECOND = 100
WARM_UP_RATE, WARM_UP_SECONDS = 50, 4
SETTLE_SECONDS = 2  # seconds of the hold before processor time is measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file. A missed limit is printed, and does not fail the run."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name:
        report = _Bench(Path(name), options).measure()
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.handoffs", description="Measure the bridge.")
    rates = lambda text: [int(rate) for rate in text.split(",")]  # noqa: E731 (argparse wants a callable)
    parser.add_argument("--rates", type=rates, default=[50, 200, 500, 900], metavar="N,N", help="handoffs per second")
    parser.add_argument(
        "--store", choices=("sqlite", "redis"), default="sqlite", help="redis: measure it beside SQLite, alternating"
    )
    parser.add_argument("--seconds", type=int, default=15, help="duration at each rate")
    parser.add_argument("--held", type=int, default=1000, help="number of held calls; 0 for none")
    parser.add_argument("--held-seconds", type=int, default=20, help="how long all of them are held")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), help="the file for all figures")
    return parser.parse_args(arguments)


@dataclass
class _Bench:
    folder: Path
    options: argparse.Namespace
    report: Report = field(default_factory=lambda: Report(cores=os.cpu_count() or 0))

    def measure(self) -> Report:
        with simulator(self.folder) as cxone:
            clip = self.folder / "silence.wav"
            write_silence(clip, 2 * self.options.held_seconds + self.options.held // HELD_CALLS_PER_SECOND + 30)
            settings = bridge_settings(
                self.folder,
                {
                    "bench": client_settings(
                        NUMBER,
                        cxone.url,
                        {
                            "handoff": project_settings("handoff", REFER),
                            "held": project_settings("held", agent={"type": "prompt", "audio": str(clip)}),
                        },
                    )
                },
                sip={"max_calls": MAX_CALLS, "rtp_ports": [20_000, 29_999]},
            )
            with ExitStack() as stack:
                bridges = [(stack.enter_context(bridge(settings, self.folder, name="handoffs")), self.report.handoffs)]
                if self.options.store == "redis":
                    redis = stack.enter_context(redis_server(self.folder))
                    shared = settings | on_redis(redis.url, "bench")
                    shared["http"] = settings["http"] | shared["http"]
                    another = stack.enter_context(bridge(shared, self.folder, name="redis"))
                    bridges.append((another, self.report.redis))
                self._handoffs(bridges)
            if self.options.held:
                with bridge(settings, self.folder, name="held") as another:
                    self._held(another)
        with Sipp("baseline_handoff", self.folder, options=("-buff_size", "4194304", "-timer_resol", "1")) as baseline:
            self._baseline(baseline.await_port())
        return self.report

    def _handoffs(self, bridges: Sequence[tuple[Bridge, list[Handoffs]]]) -> None:
        self._print_progress("warming up")
        for warm, _ in bridges:
            self._load(warm.sip, WARM_UP_RATE, min(WARM_UP_SECONDS, self.options.seconds)).run(warm.program.pid)
        for rate in self.options.rates:
            for measured, results in bridges:
                self._print_progress(f"handoffs at {rate} per second")
                results.append(self._handoffs_at(rate, measured))

    def _handoffs_at(self, rate: int, bridge: Bridge) -> Handoffs:
        bridge.wait_until_idle()
        before = bridge.metrics()
        result = self._load(bridge.sip, rate, self.options.seconds).run(bridge.program.pid)
        bridge.wait_until_idle(30)
        done = bridge.metrics().since(before, "sipbridge_handoffs_total", result="success")
        return Handoffs(result, failed_by_metrics=result.calls - round(done))

    def _baseline(self, sipp: Sipp) -> None:
        for rate in self.options.rates:
            self._print_progress(f"SIPp alone at {rate} per second")
            load = self._load(f"127.0.0.1:{sipp.port}", rate, self.options.seconds)
            self.report.baseline.append(load.run(sipp.program.pid))

    def _held(self, bridge: Bridge) -> None:
        count, seconds = self.options.held, self.options.held_seconds
        pid = bridge.program.pid
        self._print_progress(f"{count} calls held")
        at_rest = rss_mb(pid)
        hold = count / HELD_CALLS_PER_SECOND + seconds + SETTLE_SECONDS
        keys = {"token": token("held"), "contact_id": "held"}
        load = Load("load_held", bridge.sip, NUMBER, keys, HELD_CALLS_PER_SECOND, count, hold)
        with load.start(self.folder / "held") as sipp:
            bridge.wait_for_metric(count, "sipbridge_calls_active", hold)
            time.sleep(SETTLE_SECONDS)
            spent, began = cpu_ms(pid), time.monotonic()
            time.sleep(seconds - SETTLE_SECONDS)
            percent = (cpu_ms(pid) - spent) / (time.monotonic() - began) / 10
            with_calls = rss_mb(pid)
            sipp.wait(hold + 60)
        result = load.result(self.folder / "held", spent_ms=0)
        self.report.held = Held(
            calls=count,
            failed=result.failed,
            setup=result.setup,
            rss_at_rest_mb=at_rest,
            rss_per_call_mb=(with_calls - at_rest) / count,
            cpu_percent_of_a_core=percent,
        )

    @staticmethod
    def _load(remote: str, rate: int, seconds: int) -> HandoffLoad:
        return HandoffLoad(remote, NUMBER, token("handoff"), f"rate-{rate}", rate, rate * seconds)

    def _print_progress(self, what: str) -> None:
        sys.stderr.write(f"{what} …\n")


if __name__ == "__main__":
    sys.exit(main())
