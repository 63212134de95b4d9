"""The program: builds the parts, serves, drains, stops. The only place that knows them all."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import click
import uvloop

from sipbridge import __version__
from sipbridge.agents import PromptAgent, SipAgent, WebsocketAgent
from sipbridge.audio import Pcm, read_wav
from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.call import Call, Surroundings
from sipbridge.calls.events import CallEvent, DrainChanged, InviteAnswered
from sipbridge.calls.handoff_request import HandoffRequest
from sipbridge.calls.model import Invite
from sipbridge.calls.ports import Agent, Leg, Observer, Speaker
from sipbridge.calls.registry import CallRegistry
from sipbridge.calls.session import run_call
from sipbridge.config import (
    Config,
    ProjectConfig,
    PromptAgentConfig,
    SipAgentConfig,
    WebsocketAgentConfig,
    unsupported,
    warnings,
)
from sipbridge.cxone import CxoneCentre, open_session
from sipbridge.errors import ConfigError, HandoffConflict
from sipbridge.sip.trunk import SipTrunk, pjsip_version
from sipbridge.speech import CommandSpeaker
from sipbridge.store import open_store
from sipbridge.telemetry import CallLog, Metrics, configure_logging, level_from
from sipbridge.web import EventFeed, PopLinks, WebDeps, make_app, start_web

logger = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS = 1.0
STALLED_SECONDS = 3.0
# After draining's hand-offs: for Signals, transfers and BYEs that are under way.
LAST_CALLS_SECONDS = 25.0


def main(config: Config) -> int:
    """Run the bridge until it is told to stop; returns the exit code. Raises `StartupError` or `ConfigError`."""
    problems = unsupported(config)
    if problems:
        raise ConfigError(problems)
    with configure_logging(level_from(os.environ)):
        for warning in warnings(config):
            logger.warning("%s", warning, extra={"event": "config_warning"})
        uvloop.run(Service(config).run())
    return 0


class Service:
    """One bridge: start, serve, drain, stop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._admission = Admission(config)
        self._registry = CallRegistry()
        self._metrics = Metrics(pjsip_version=pjsip_version())
        self._feed = EventFeed()
        self._observe = _fan_out((self._metrics, CallLog(), self._feed))
        self._pop_links = PopLinks.from_config(config.http)
        self._calls: dict[asyncio.Task[None], Call] = {}
        self._stop_asked = asyncio.Event()
        self._lag_seconds = 0.0
        self._lag_asked_at: float | None = None

    async def run(self) -> None:
        """Live from start to stop."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            await self._stop_asked.wait()
            await self._drain()

    async def _start(self, stack: AsyncExitStack) -> None:
        self._watch_signals()
        recordings = self._read_recordings()
        store = open_store(self._config.store)
        stack.push_async_callback(store.close)
        centres = await self._open_centres(stack)
        self._trunk = SipTrunk(self._config.sip, self._admission, self._take_call, self._note_refusal)
        self._around = Surroundings(
            agents=self._make_agents(),
            speakers=self._make_speakers(),
            centres=centres,
            store=store,
            dialler=self._trunk,
            observe=self._observe,
            registry=self._registry,
            admission=self._admission,
            pop_url=self._pop_links.make,
        )
        deps = WebDeps(
            config=self._config,
            directory=self._registry,
            store=store,
            metrics_page=self._metrics.page,
            readiness=self._why_not_ready,
            events=self._feed,
            pop_links=self._pop_links,
        )
        http = self._config.http.listen
        runner, (host, port) = await start_web(make_app(deps), http.host, http.port)
        stack.push_async_callback(runner.cleanup)
        # The trunk opens last and closes first: a call finds everything it needs.
        stack.push_async_callback(self._trunk.stop)
        addresses = await self._trunk.start()
        for path, pcm in recordings.items():
            await self._trunk.load_clip(str(path), pcm)
        watch = asyncio.create_task(self._watch_sip_thread())
        stack.callback(watch.cancel)
        _spare_the_collector()
        click.echo(f"sipbridge {__version__} ready: sip {' '.join(addresses)} http http://{host}:{port}")

    async def _open_centres(self, stack: AsyncExitStack) -> dict[str, CxoneCentre]:
        session = await stack.enter_async_context(open_session())
        centres = {
            client: CxoneCentre(client, config.cxone, session, self._observe)
            for client, config in self._config.clients.items()
        }
        for centre in centres.values():
            stack.push_async_callback(centre.close)
            warming = asyncio.create_task(centre.warm_up())
            stack.callback(warming.cancel)
        return centres

    def _make_agents(self) -> Mapping[tuple[str, str], Agent]:
        agents: dict[tuple[str, str], Agent] = {}
        for client, config in self._config.clients.items():
            for project, project_config in config.projects.items():
                agents[client, project] = self._make_agent(project_config)
        return agents

    def _make_agent(self, project: ProjectConfig) -> Agent:
        agent = project.agent
        if isinstance(agent, SipAgentConfig):
            return SipAgent(agent, self._trunk, project.handoff)
        if isinstance(agent, WebsocketAgentConfig):
            return WebsocketAgent(agent)
        return PromptAgent(agent)

    def _make_speakers(self) -> Mapping[tuple[str, str], Speaker]:
        return {
            (client, project): CommandSpeaker(settings.tts_command, self._trunk.load_clip, self._trunk.drop_clip)
            for client, config in self._config.clients.items()
            for project, settings in config.projects.items()
            if settings.tts_command is not None
        }

    def _read_recordings(self) -> dict[Path, Pcm]:
        paths = {
            project.agent.audio
            for client in self._config.clients.values()
            for project in client.projects.values()
            if isinstance(project.agent, PromptAgentConfig) and project.agent.audio is not None
        }
        return {path: read_wav(path) for path in paths}

    # ------------------------------------------------------------ serving

    def _take_call(self, leg: Leg, admitted: Admitted) -> None:
        call = Call(admitted, leg, self._around)
        task = asyncio.create_task(run_call(call))
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)

    def _note_refusal(self, invite: Invite, sip_status: int, reason: str) -> None:
        self._observe(InviteAnswered(sip_status, reason, invite.sip_call_id, invite.source_address))

    async def _watch_sip_thread(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._lag_asked_at = loop.time()
            self._lag_seconds = await self._trunk.measure_lag()
            self._lag_asked_at = None
            self._metrics.set_sip_thread_lag(self._lag_seconds)
            self._metrics.set_media_counts(*self._trunk.audio_counts())
            await asyncio.sleep(LAG_INTERVAL_SECONDS)

    def _why_not_ready(self) -> str | None:
        if self._admission.draining:
            return "draining"
        if self._admission.full:
            return "full"
        if self._lag_asked_at is not None:
            waited = asyncio.get_running_loop().time() - self._lag_asked_at
            if waited > STALLED_SECONDS:
                return "the SIP thread is stalled"
        return None

    # ------------------------------------------------------------ draining and stopping

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)

    def _ask_to_stop(self) -> None:
        """Drain at the first signal, end at the second."""
        if self._stop_asked.is_set():
            self._cut_short()
        self._stop_asked.set()

    def _cut_short(self) -> None:
        """End all calls; one that is ending is let be, for its record."""
        for task, call in self._calls.items():
            if not call.ending:
                call.ending = True
                task.cancel()

    async def _drain(self) -> None:
        """Take no more calls, let those in progress end, hand off the rest, wait for the last."""
        self._admission.draining = True
        self._observe(DrainChanged(draining=True))
        await self._calls_over(self._config.drain_seconds)
        for call in self._registry.all():
            try:
                call.request_handoff(HandoffRequest(reason="draining"), requested_by="bridge")
            except HandoffConflict:
                continue
        await self._calls_over(LAST_CALLS_SECONDS)
        self._cut_short()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _calls_over(self, seconds: float) -> None:
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=seconds)


def _spare_the_collector() -> None:
    """Keep the cyclic collector off what lives as long as the process, and let it run seldom.

    At its defaults it took 15 % of the processor time of a call; calls leave next to no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _fan_out(observers: tuple[Observer, ...]) -> Observer:
    """One observer that tells several; what one of them raises harms neither the call nor the others."""

    def observe(event: CallEvent) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:
                logger.exception("an observer failed", extra={"event": "internal_error"})

    return observe
