"""`make bench-pages`: what a view of a screen-pop page costs, and an update of an open one, and whether calls beside
many open pages suffer.

The calls of the pages are held in their handoff: the bridge waits for CXone's BYE, and their transcripts grow. All
programs share the machine (docs/benchmark.md).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.usage import allow_many_sockets

from .chats_calls import CallsBeside
from .chats_usage import Usage
from .load import Load as SippLoad
from .media import SIP_SETTINGS
from .media_level import AGENTS_FIRST_STREAM, NUMBER
from .media_load import Load, media_load
from .page_load import Pages
from .pages_report import OPENINGS, Report, Updates, print_report

CLIENT, PROJECT = "bench", "pages"
PAGES_PER_CALL = 8
VIEWS = 1000
CALLS_PER_SECOND = 25
PAGES_PER_SECOND = 100
HELD_SECONDS = 30  # for which calls are held beyond a phase: until all are handed off, and their pages are open
POSTS_PER_SECOND = 12.5  # turns, each an update of PAGES_PER_CALL pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, write the file. A missed limit is printed, and does not fail the run."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name:
        report = asyncio.run(_Bench(Path(name), options).measure())
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description="Measure screen-pop pages.")
    parser.add_argument("--pages", type=int, default=500, help="number of open pages")
    parser.add_argument("--calls", type=int, default=100, help="number of calls with audio beside the pages")
    parser.add_argument("--seconds", type=int, default=20, help="duration of each phase")
    parser.add_argument("--output", type=Path, default=Path("build/bench-pages.json"), help="the file for all figures")
    return parser.parse_args(arguments)


class _Bench:
    """One run: views, updates, and then both beside calls."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._pages, self._calls, self._seconds = options.pages, options.calls, options.seconds
        self._held = -(-options.pages // PAGES_PER_CALL)
        self._runs = 0

    async def measure(self) -> Report:
        """Run the programs and the phases."""
        with ExitStack() as stack:
            self._cxone = stack.enter_context(simulator(self._folder))
            agents = stack.enter_context(media_load("websocket", self._folder, "agents", AGENTS_FIRST_STREAM))
            self._bridge = stack.enter_context(bridge(self._settings(agents), self._folder))
            pids = [self._bridge.program.pid, self._cxone.program.pid, os.getpid()]
            report = Report(cores=os.cpu_count() or 0, pages=self._pages, seconds=self._seconds)
            async with self._held_calls(3 * self._seconds + 40) as pages:
                sys.stderr.write(f"{VIEWS} views …\n")
                report.cpu_ms_per_view = await self._views(pages, pids)
                sys.stderr.write("turns without open pages …\n")
                alone = await self._turns(pages, pids)
                sys.stderr.write(f"the same turns, {self._pages} open pages …\n")
                async with pages.opened(self._pages, PAGES_PER_SECOND):
                    report.updates = (await self._turns(pages, pids)).without(alone)
            longest = self._seconds + 2 * HELD_SECONDS
            beside = CallsBeside(self._folder, self._bridge, agents, pids, self._calls, self._seconds, longest)
            report.calls = await beside.measure(*(partial(self._pages_beside, each) for each in OPENINGS.values()))
        return report

    async def _views(self, pages: Pages, pids: Sequence[int]) -> float:
        await pages.view(VIEWS // 10)  # the first ones compile the templates
        before = Usage.now(pids)
        await pages.view(VIEWS)
        return before.cost().cpu_ms / VIEWS

    async def _turns(self, pages: Pages, pids: Sequence[int]) -> Updates:
        before, received = Usage.now(pids), pages.received
        await pages.add_turns(POSTS_PER_SECOND, self._seconds)
        return Updates(pages.received - received, before.cost())

    async def _pages_beside(self, per_second: float, pids: Sequence[int]) -> Updates:
        """Hold calls in their handoff, open all pages and add turns, as long as the calls are measured."""
        sys.stderr.write(f"{self._pages} pages that open at {per_second:g} per second …\n")
        before = Usage.now(pids)
        async with self._held_calls(self._seconds + HELD_SECONDS) as pages, pages.opened(self._pages, per_second):
            await pages.add_turns(POSTS_PER_SECOND, self._seconds)
            return Updates(pages.received, before.cost())

    @asynccontextmanager
    async def _held_calls(self, seconds: float) -> AsyncIterator[Pages]:
        """Hold calls in their handoff for this long; yield their pages."""
        self._runs += 1
        contact = f"pop{self._runs}"
        keys = {"token": token(PROJECT), "contact_id": contact}
        load = SippLoad("load_held", self._bridge.sip, NUMBER, keys, CALLS_PER_SECOND, self._held, seconds)
        with load.start(self._folder / contact) as sipp:
            links = await asyncio.to_thread(self._links, contact)
            async with Pages.of(links, self._bridge.http, f"/v1/{CLIENT}/{PROJECT}", key(PROJECT)) as pages:
                yield pages
            await asyncio.to_thread(sipp.wait, seconds + 60)

    def _links(self, contact: str) -> list[str]:
        """Wait for the Signals of all held calls, and return their links."""
        for _ in range(600):
            signals = [each for each in self._cxone.all_signals() if each["contact_id"].startswith(contact)]
            if len(signals) == self._held:
                return [each["parameters"]["p9"] for each in signals]
            self._cxone.signals(f"{contact}-none", wait_for=1, seconds=0.1)
        raise TimeoutError(f"{len(signals)} of {self._held} calls were handed off")

    def _settings(self, agents: Load) -> dict[str, Any]:
        project = project_settings(PROJECT)
        project["handoff"] |= {"release_grace_seconds": 3600, "signal": {"p1": "{destination}", "p9": "{pop_url}"}}
        projects = {PROJECT: project, **CallsBeside.project(agents)}
        return bridge_settings(
            self._folder, {CLIENT: client_settings(NUMBER, self._cxone.url, projects)}, sip=SIP_SETTINGS
        )


if __name__ == "__main__":
    sys.exit(main())
