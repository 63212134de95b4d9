"""The life of a bridge: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Container
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import uvloop

from sipbridge import __version__, file_descriptors, thread_names, thread_priority
from sipbridge.aio import independent_task
from sipbridge.app.cluster_wiring import recover_own, start_cluster
from sipbridge.app.health import HealthMonitor
from sipbridge.app.preflight import find_all_warnings, read_config
from sipbridge.app.reloader import Reloader, log_warnings
from sipbridge.app.systemd import SystemdNotifier
from sipbridge.app.wiring import Bridge, Core, open_bridge
from sipbridge.calls.admission import Admitted
from sipbridge.calls.call import Call
from sipbridge.calls.context import CallContext
from sipbridge.calls.events import DrainChanged
from sipbridge.calls.ports.sip import Leg
from sipbridge.calls.session import run_call
from sipbridge.chats.context import ChatContext
from sipbridge.config import Config
from sipbridge.errors import ConfigError, SipbridgeError, StartupError
from sipbridge.store.start_wait import START_WAIT_SECONDS, StartWait
from sipbridge.telemetry import LogFormat, configure_logging, level_from
from sipbridge.terminal import Style
from sipbridge.web import ReloadReport

logger = logging.getLogger(__name__)

# After the handoffs of a drain: for Signals, transfers and BYEs in progress.
LAST_CALLS_SECONDS = 25.0
# After that: for the record of the last call, and to close what is open.
CLOSING_SECONDS = 10.0


def main(file: Path, log_format: LogFormat = "json") -> int:
    """Run the bridge until it is asked to stop; return the exit code. Raises `StartupError` or `ConfigError`.

    The configuration file is read and checked at the start, and again at each reload.
    """
    # A core dump would hold every secret of the configuration, and what callers say.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    thread_names.pass_to_kernel()
    with configure_logging(_log_level(), log_format=log_format):
        try:
            config = read_config(file)
            log_warnings(find_all_warnings(config))
            file_descriptors.raise_limit()
            uvloop.run(Service(config, partial(read_config, file, running=config)).run())
        except SipbridgeError as error:
            if log_format == "json":  # a terminal shows the error itself, as that of any command
                for problem in error.problems:
                    logger.error("start failed: %s", problem, extra={"event": "start_failed"})  # noqa: TRY400 (the line says it all)
            raise
        logger.info("stopped", extra={"event": "stopped"})
    return 0


def _log_level() -> str:
    try:
        return level_from(os.environ)
    except StartupError:  # `read_config` reports it, with every other problem
        return "INFO"


class Service:
    """One bridge, from its start to its stop. `read` reads the file for a reload.

    Implements `web.AdminControls` and `cluster.NodeControls`.
    """

    def __init__(self, config: Config, read: Callable[[], Config]) -> None:
        self.since = datetime.now(UTC)
        self._read = read
        self._core = Core(config)
        self._systemd = SystemdNotifier(os.environ)
        self._calls: dict[asyncio.Task[None], Call] = {}
        self._stopping = asyncio.Event()
        self._stop_signals = 0
        # Held by the start and by each reload, so that a reload requested meanwhile waits.
        self._configuring = asyncio.Lock()

    async def run(self) -> None:
        """Start, serve until a stop is requested, drain, stop."""
        async with AsyncExitStack() as stack:
            await self._configuring.acquire()
            self._bridge = await self._start(stack)
            # Not after a failed start, which has nothing to reload.
            self._configuring.release()
            await self._stopping.wait()
            await self._drain()

    async def _start(self, stack: AsyncExitStack) -> Bridge:
        self._handle_signals()
        core = self._core
        wait = StartWait(START_WAIT_SECONDS, lambda: self.draining)
        bridge = await open_bridge(core, self._take_call, self, wait, stack)
        self._reloader = Reloader(
            self._read, bridge.live_config, self._versions_in_use, core.observe, core.metrics, core.background
        )
        health = HealthMonitor(bridge.user_agent, bridge.store, core.readiness, core.metrics, self._systemd)
        await health.check()
        core.background.start(health.run())
        core.background.start(self._reloader.run())
        if bridge.cluster is not None:
            start_cluster(bridge.cluster, core.config, bridge.live_config, self, bridge.moving_chats, core.metrics)
        core.background.start(_recover(bridge))
        core.background.start(bridge.reception.recover())
        # Only when everything is open: a start that fails must not log token requests that it cancelled.
        self._reloader.warm_up(bridge.live_config.latest.centres.values())
        _relieve_collector()
        # Not before: a start, or one that fails, must not hold up other programs.
        thread_priority.ask_for_real_time()
        style = Style.of_output()
        click.echo(f"sipbridge {__version__} {style.green}ready{style.plain}: {bridge.addresses}")
        self._systemd.ready()
        return bridge

    # ------------------------------------------------------------ serving

    def _take_call(self, leg: Leg, admitted: Admitted) -> None:
        call = Call(admitted, leg)
        task = asyncio.create_task(run_call(call))
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)

    def _versions_in_use(self) -> list[CallContext | ChatContext]:
        return [*(call.context for call in self._calls.values()), *self._bridge.reception.contexts_in_use()]

    # ------------------------------------------------------------ admin controls

    @property
    def draining(self) -> bool:
        """True while the bridge takes no new calls and chats."""
        return self._stopping.is_set()

    @property
    def calls(self) -> int:
        """Number of calls in progress."""
        return self._core.admission.active

    @property
    def chats(self) -> int:
        """Number of chats in progress."""
        return len(self._core.chat_registry)

    def drain(self) -> None:
        """Begin to drain. Idempotent."""
        self._stopping.set()

    async def reload(self) -> ReloadReport:
        """Reload the configuration. Raises `ConfigError`; then nothing has changed.

        It goes on if its requester is cancelled, as by a client of the API that disconnects.
        """
        return await asyncio.shield(self._core.background.keep(independent_task(self._reload_and_log())))

    async def _reload_and_log(self) -> ReloadReport:
        try:
            async with self._configuring:
                return await self._reloader.reload()
        except ConfigError as error:
            for problem in error.problems:
                logger.error("not reloaded: %s", problem, extra={"event": "config_refused"})  # noqa: TRY400 (no traceback: the line says it all)
            raise
        except Exception:
            logger.exception("not reloaded", extra={"event": "internal_error"})
            raise

    # ------------------------------------------------------------ node controls

    def end_taken_over(self, kept: Container[str]) -> list[str]:
        """End all calls but the kept ones, and all chats, since another node has taken them over; return their ids."""
        self._bridge.moving_chats.abandon()
        calls = [call for call in self._calls.values() if call.record.call_id not in kept]
        for call in calls:
            call.yield_to_rescuer()
        return [call.record.call_id for call in calls]

    def withhold_readiness(self, reason: str | None) -> None:
        """Take no new calls, for that reason, until there is none."""
        self._core.admission.withheld = reason

    # ------------------------------------------------------------ signals

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
        # `cli.run` blocked it, so one that arrived before there was a handler is delivered now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _on_reload_signal(self) -> None:
        self._core.background.keep(independent_task(self._reload_and_log()))

    def _on_stop_signal(self) -> None:
        """Drain at the first signal, end all calls at the second. The first does not hasten a drain of the API."""
        self._stop_signals += 1
        self._stopping.set()
        if self._stop_signals == 2:  # noqa: PLR2004 (the one that ends all calls)
            calls = f"{self.calls} call{'' if self.calls == 1 else 's'}"
            logger.warning("second stop signal: ending %s", calls, extra={"event": "stop_forced"})
        if self._stop_forced:
            self._end_calls()

    @property
    def _stop_forced(self) -> bool:
        return self._stop_signals > 1

    # ------------------------------------------------------------ draining

    async def _drain(self) -> None:
        """Take no new calls and chats, wait for the calls in progress, hand off the rest, wait for the last.

        Chats go to another node at once. If there is none they go on, and are suspended when the bridge closes.
        """
        drain_seconds = self._bridge.live_config.latest.config.drain_seconds
        self._core.admission.draining = True
        self._bridge.reception.drain()
        if self._bridge.cluster is not None:
            self._bridge.cluster.chat_owners.wake()
        self._systemd.stopping(within_seconds=drain_seconds + LAST_CALLS_SECONDS + CLOSING_SECONDS)
        self._core.observe(DrainChanged(draining=True, calls=self.calls, wait_seconds=drain_seconds))
        # An INVITE that was admitted a moment ago is a call too. Once the SIP thread has stopped, nothing would end it.
        await self._bridge.user_agent.caught_up()
        if self._stop_forced:
            self._end_calls()
        await self._wait_for_calls(drain_seconds)
        for call in self._core.registry.all():
            call.drain()
        await self._wait_for_calls(LAST_CALLS_SECONDS)
        self._end_calls()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _wait_for_calls(self, seconds: float) -> None:
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=seconds)

    def _end_calls(self) -> None:
        """Cancel all calls except those that are ending, which still write their record."""
        for task, call in self._calls.items():
            if not call.ending:
                call.ending = True
                task.cancel()


async def _recover(bridge: Bridge) -> None:
    with bridge.live_config.in_use() as version:
        await recover_own(bridge.cluster, bridge.unfinished, version)


def _relieve_collector() -> None:
    """Exempt what lasts as long as the process from the cyclic collector, and have it run seldom.

    With its defaults it took 15 % of the processor time of a call. Calls leave next to no cycles behind. Audio waits
    for each of its runs, which takes up to 2 µs for each object that is new since the last one: so these are few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 4, 6_000)
