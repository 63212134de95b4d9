"""Calls with audio beside loads: the same calls are measured alone first, and then with each load."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.media.quality import measure_streams
from tests.harness.programs.bridge import Bridge
from tests.harness.settings import project_settings, token

from .chats_report import Audio, Beside, Calls, Cost, T
from .chats_usage import Usage
from .load import Load as SippLoad
from .media_level import AFTER_SECONDS, CALLS_PER_SECOND, NUMBER, PROJECT, SETTLE_SECONDS
from .media_load import Load, Side, media_load
from .media_results import Direction
from .sip_server import wait_for_calls


@dataclass(frozen=True)
class _Span:
    """A time in which all calls were in progress, and its cost."""

    begin_ns: int
    end_ns: int
    cost: Cost

    def audio(self, callers: Side, agents: Side) -> Audio:
        """Return the audio of the frames that were sent in this time."""
        span = (self.begin_ns, self.end_ns)
        return Audio(
            to_agent=Direction.of(measure_streams(callers.sent, agents.received, *span)),
            to_caller=Direction.of(measure_streams(agents.sent, callers.received, *span)),
            cost=self.cost,
        )


@dataclass(frozen=True)
class CallsBeside:
    """Calls to the WebSocket agents of `agents`, on the bridge that carries the loads.

    A load may go on for `load_seconds`, and is measured for `seconds`.
    """

    folder: Path
    bridge: Bridge
    agents: Load
    pids: Sequence[int]  # of the bridge and the other programs that run anyway
    calls: int
    seconds: int
    load_seconds: float

    @staticmethod
    def project(agents: Load) -> dict[str, dict[str, Any]]:
        """Return the settings of the calls' project, by its name."""
        return {PROJECT: project_settings(PROJECT, agent={"type": "websocket", "url": agents.where})}

    async def measure(self, *loads: Callable[[Sequence[int]], Coroutine[Any, Any, T]]) -> Calls[T]:
        """Measure the calls alone, and then for the same time during each load; it gets all programs' process ids."""
        sys.stderr.write(f"{self.calls} calls alone …\n")
        ramp = self.calls / CALLS_PER_SECOND
        earlier = (len(loads) - 1) * self.load_seconds  # the next load waits until they have ended
        hold = ramp + 2 * SETTLE_SECONDS + 2 * self.seconds + earlier + AFTER_SECONDS
        with media_load("rtp", self.folder, "callers", 0) as callers:
            keys = {"token": token(PROJECT), "contact_id": "media", "rtp_port": callers.where}
            trunk = SippLoad("load_media", self.bridge.sip, NUMBER, keys, CALLS_PER_SECOND, self.calls, hold)
            with trunk.start(self.folder / "calls") as sipp:
                # Calls that are not in progress by then count as failed.
                most = ramp + SETTLE_SECONDS + AFTER_SECONDS
                begun = await asyncio.to_thread(wait_for_calls, self.bridge, self.calls, most)
                await asyncio.sleep(SETTLE_SECONDS)
                pids = [*self.pids, *(each.program.pid for each in (self.agents, callers, sipp))]
                alone = await self._span(pids)
                beside = [await self._with_load(load, pids) for load in loads]
                await asyncio.to_thread(sipp.wait, hold + 60)
            at_callers, at_agents = await asyncio.to_thread(lambda: (callers.stop(), self.agents.stop()))
        without_audio = self.calls - min(len(at_callers.sent), len(at_agents.sent))
        return Calls(
            calls=self.calls,
            failed=max(self.calls - begun, without_audio, trunk.result(self.folder / "calls", spent_ms=0).failed),
            generators_dropped=at_callers.dropped + at_agents.dropped,
            alone=alone.audio(at_callers, at_agents),
            beside=[Beside(span.audio(at_callers, at_agents), load) for span, load in beside],
        )

    async def _with_load(
        self, load: Callable[[Sequence[int]], Coroutine[Any, Any, T]], pids: Sequence[int]
    ) -> tuple[_Span, T]:
        sys.stderr.write("the same calls beside ")
        async with asyncio.TaskGroup() as tasks:
            loaded = tasks.create_task(load(pids))
            span = await self._span(pids)
        return span, loaded.result()

    async def _span(self, pids: Sequence[int]) -> _Span:
        before = Usage.now(pids)
        await asyncio.sleep(self.seconds)
        return _Span(before.at_ns, time.time_ns(), before.cost())
