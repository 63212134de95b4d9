"""One level of the audio benchmark: callers and agents with stamped frames, and a server between them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.harness.media.quality import measure_streams
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import token
from tests.harness.usage import MachineTime, cpu_ms, rss_mb

from .load import Load as SippLoad
from .media_load import Load, Side, media_load
from .media_results import ROUND_TRIP, TO_AGENT, TO_CALLER, Direction, Level
from .sip_server import SipServer, wait_for_calls

NUMBER = "+19995550001"
PROJECT = "media"
CALLS_PER_SECOND = 25
AGENTS_FIRST_STREAM = 10_000
SETTLE_SECONDS = 2.0  # after the last call is answered, and before the first call
AFTER_SECONDS = 4.0  # for the first call to outlast the measurement
# By the kind of the calls: the side that their agents are.
AGENTS = {"sip": "rtp", "websocket": "websocket", "echo": "echo"}


@dataclass(frozen=True)
class _Usage:
    """Processor time so far: of the server, the callers' processes, the agents' process, and the machine."""

    at_ns: int
    ms: tuple[float, float, float]
    machine: MachineTime

    @classmethod
    def now(cls, *groups: Sequence[int]) -> _Usage:
        server, callers, agents = (sum(map(cpu_ms, pids)) for pids in groups)
        return cls(time.time_ns(), (server, callers, agents), MachineTime.now())

    def percent(self, until: _Usage) -> list[float]:
        """The percentage of one core until then."""
        elapsed_ms = (until.at_ns - self.at_ns) / 1e6
        return [100 * (after - before) / elapsed_ms for before, after in zip(self.ms, until.ms, strict=True)]


@dataclass(frozen=True)
class MediaLevel:
    """Calls of one kind, on a server of their own, so that memory at rest is that of a fresh process.

    `serve` starts it; its argument is the agents' address, a WebSocket URL or a SIP URI.
    """

    folder: Path
    kind: str
    calls: int
    seconds: float
    serve: Callable[[str], AbstractContextManager[SipServer]]

    def measure(self) -> Level:
        """Run the calls, and measure while all of them are in progress."""
        with ExitStack() as stack:
            callers = stack.enter_context(media_load("rtp", self.folder, "callers", 0))
            agents = stack.enter_context(media_load(AGENTS[self.kind], self.folder, "agents", AGENTS_FIRST_STREAM))
            answering = self._answering(agents, stack)
            where = f"sip:agent@127.0.0.1:{answering[0].port}" if answering else agents.where
            server = stack.enter_context(self.serve(where))
            return self._run(server, callers, agents, answering)

    def _answering(self, agents: Load, stack: ExitStack) -> list[Sipp]:
        """Start SIPp as the SIP agents' signalling, if the agents speak SIP."""
        if self.kind != "sip":
            return []
        options = ("-timer_resol", "1", "-buff_size", "4194304")
        sipp = Sipp("media_agent", self.folder, keys={"rtp_port": agents.where}, options=options)
        return [stack.enter_context(sipp).await_port()]

    def _run(self, server: SipServer, callers: Load, agents: Load, answering: list[Sipp]) -> Level:
        pid = server.program.pid
        ramp = self.calls / CALLS_PER_SECOND
        hold = ramp + 2 * SETTLE_SECONDS + self.seconds + AFTER_SECONDS
        keys = {"token": token(PROJECT), "contact_id": "media", "rtp_port": callers.where}
        load = SippLoad("load_media", server.sip, NUMBER, keys, CALLS_PER_SECOND, self.calls, hold)
        time.sleep(SETTLE_SECONDS)
        rss_idle, spent, began = rss_mb(pid), cpu_ms(pid), time.monotonic()
        time.sleep(SETTLE_SECONDS)
        idle = (cpu_ms(pid) - spent) / (time.monotonic() - began) / 10
        with load.start(self.folder / "calls") as sipp:
            # Calls that are not in progress by then count as failed.
            begun = wait_for_calls(server, self.calls, ramp + SETTLE_SECONDS + AFTER_SECONDS)
            time.sleep(SETTLE_SECONDS)
            groups = (
                [pid],
                [callers.program.pid, sipp.program.pid],
                [agents.program.pid, *(each.program.pid for each in answering)],
            )
            before = _Usage.now(*groups)
            time.sleep(self.seconds)
            after = _Usage.now(*groups)
            if not server.program.is_running:
                raise server.program.error("ended with calls in progress")
            rss_now = rss_mb(pid)
            sipp.wait(hold + 60)
        at_callers, at_agents = callers.stop(), agents.stop()
        of_server, of_callers, of_agents = before.percent(after)
        busy = before.machine.busy_percent(after.machine)
        return Level(
            kind=self.kind,
            calls=self.calls,
            failed=max(
                self.calls - begun,
                self._without_audio(at_callers, at_agents),
                load.result(self.folder / "calls", spent_ms=0).failed,
            ),
            bridge_idle_percent=idle,
            bridge_percent=of_server,
            callers_percent=of_callers,
            agents_percent=of_agents,
            machine_busy_percent=busy,
            machine_stolen_percent=before.machine.stolen_percent(after.machine),
            machine_other_percent=max(0.0, busy - (of_server + of_callers + of_agents) / (os.cpu_count() or 1)),
            rss_idle_mb=rss_idle,
            rss_per_call_mb=(rss_now - rss_idle) / self.calls,
            ways=self._ways(at_callers, at_agents, (before.at_ns, after.at_ns)),
            generators_unevenness_p99_ms=_worst(at_callers.unevenness_ms, at_agents.unevenness_ms),
            generators_dropped=at_callers.dropped + at_agents.dropped,
        )

    def _without_audio(self, callers: Side, agents: Side) -> int:
        """Count the calls whose audio did not begin; those with an echo have only the callers' audio."""
        sides = (callers,) if self.kind == "echo" else (callers, agents)
        return self.calls - min(len(side.sent) for side in sides)

    def _ways(self, callers: Side, agents: Side, span: tuple[int, int]) -> dict[str, Direction]:
        if self.kind == "echo":
            return {ROUND_TRIP: Direction.of(measure_streams(callers.sent, callers.received, *span))}
        return {
            TO_AGENT: Direction.of(measure_streams(callers.sent, agents.received, *span)),
            TO_CALLER: Direction.of(measure_streams(agents.sent, callers.received, *span)),
        }


def _worst(*unevenness_ms: float) -> float:
    """Return the largest; a side that sent no frames of its own has none (NaN)."""
    return max((each for each in unevenness_ms if not math.isnan(each)), default=math.nan)
