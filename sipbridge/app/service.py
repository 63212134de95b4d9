"""The program: builds the parts, serves, drains, stops. The only place that knows them all."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import click
import uvloop

from sipbridge import __version__, file_descriptors
from sipbridge.aio import BackgroundTasks
from sipbridge.app.live_config import LiveConfig
from sipbridge.app.preflight import find_all_warnings
from sipbridge.app.systemd import SystemdNotifier
from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.call import Call
from sipbridge.calls.context import CallContext
from sipbridge.calls.events import CallEvent, ConfigRead, DrainChanged
from sipbridge.calls.ports import ContactCentre, Leg, Observer, RecordStore, Unfinished
from sipbridge.calls.readiness import Readiness
from sipbridge.calls.recovery import recover
from sipbridge.calls.registry import CallRegistry
from sipbridge.calls.session import run_call
from sipbridge.config import Config, authority
from sipbridge.cxone import HttpClient
from sipbridge.dns import Resolver
from sipbridge.errors import ConfigError, SipbridgeError, StartupError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.sip.user_agent import SipTrunk, pjsip_version
from sipbridge.store import open_journal, open_store
from sipbridge.telemetry import CallLog, LogFormat, Metrics, configure_logging, level_from
from sipbridge.web import EventFeed, PopLinks, ReloadReport, WebDeps, make_admin_app, make_app, start_web

logger = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS = 1.0
# After draining's hand-offs: for Signals, transfers and BYEs that are under way.
LAST_CALLS_SECONDS = 25.0
# And then for the record of the last call, and to close what is open.
CLOSING_SECONDS = 10.0


def main(read: Callable[[], Config], log_format: LogFormat = "json") -> int:
    """Run the bridge until it is asked to stop; return the exit code. Raises `StartupError` or `ConfigError`.

    `read` reads and judges the configuration: now, and again at each reload.
    """
    # A core dump would hold every secret of the configuration, and what callers say.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with configure_logging(_log_level(), log_format=log_format):
        try:
            config = read()
            _log_warnings(find_all_warnings(config))
            file_descriptors.raise_limit()
            uvloop.run(Service(config, read).run())
        except SipbridgeError as error:
            if log_format == "json":  # a terminal shows the error itself, as any command's
                for problem in _problems(error):
                    logger.error("start failed: %s", problem, extra={"event": "start_failed"})  # noqa: TRY400 (the line says it all)
            raise
        logger.info("stopped", extra={"event": "stopped"})
    return 0


def _log_level() -> str:
    try:
        return level_from(os.environ)
    except StartupError:  # found again by `read`, with every other problem
        return "INFO"


def _problems(error: SipbridgeError) -> list[str]:
    return error.problems if isinstance(error, ConfigError) else [str(error)]


def _log_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning, extra={"event": "config_warning"})


class Service:
    """One bridge: start, serve, reload, drain, stop."""

    def __init__(self, config: Config, read: Callable[[], Config]) -> None:
        self._config = config
        self._read = read
        self._admission = Admission(config)
        self._readiness = Readiness(self._admission)
        self._registry = CallRegistry()
        self._metrics = Metrics(pjsip_version=pjsip_version())
        self._feed = EventFeed()
        self._observe = _fan_out((self._metrics, CallLog(), self._feed))
        self._pop_links = PopLinks.from_config(config.http)
        self._calls: dict[asyncio.Task[None], Call] = {}
        self.since = datetime.now(UTC)
        self._stop_asked = asyncio.Event()
        self._stop_signals = 0
        self._reloading = asyncio.Lock()
        self._background = BackgroundTasks()
        self._systemd = SystemdNotifier(os.environ)

    async def run(self) -> None:
        """Live from start to stop."""
        async with AsyncExitStack() as stack:
            # A reload that is asked for meanwhile comes after.
            async with self._reloading:
                await self._start(stack)
            await self._stop_asked.wait()
            await self._drain()

    async def _start(self, stack: AsyncExitStack) -> None:
        self._watch_signals()
        journal, left = open_journal(self._config.store)
        stack.push_async_callback(journal.close)
        store = open_store(self._config.store, on_settled=journal.stored)
        stack.push_async_callback(store.close)
        resolver = Resolver(asyncio.get_running_loop().time)
        stack.push_async_callback(resolver.close)
        resolver.open()
        client = await stack.enter_async_context(HttpClient(resolver))
        stack.push_async_callback(self._end_background)
        self._trunk = SipTrunk(
            self._config.sip, resolver, self._admission, self._readiness, self._take_call, self._observe
        )
        start = CallContext(
            config=self._config,
            agents={},
            speakers={},
            centres={},
            store=store,
            journal=journal,
            dialler=self._trunk,
            observe=self._observe,
            registry=self._registry,
            admission=self._admission,
            pop_url=self._pop_links.make,
        )
        self._live_config = LiveConfig(start, self._trunk, client, resolver)
        stack.push_async_callback(self._live_config.close)
        deps = WebDeps(
            config=lambda: self._live_config.latest.config,
            directory=self._registry,
            store=store,
            metrics_page=self._metrics.page,
            readiness=self._readiness.reason,
            events=self._feed,
            pop_links=self._pop_links,
            admin_controls=self,
            count_request=self._metrics.count_request,
        )
        http, admin = self._config.http.listen, self._config.http.admin.listen
        runner, (host, port) = await start_web(make_app(deps), http.host, http.port)
        stack.push_async_callback(runner.cleanup)
        listening = f"http http://{authority(host, port)}"
        if admin:
            runner, (host, port) = await start_web(make_admin_app(deps), admin.host, admin.port, "http.admin.listen")
            stack.push_async_callback(runner.cleanup)
            listening += f" admin http://{authority(host, port)}"
        await self._live_config.load()
        # The trunk opens last and closes first: a call finds everything it needs.
        stack.push_async_callback(self._trunk.stop)
        addresses = await self._trunk.start()
        await self._look_at_threads(store)
        self._background.start(self._watch_threads(store))
        self._background.start(self._recover(left))
        # Not before all is open: a start that fails must not complain of tokens that it gave up.
        self._warm_up(self._live_config.latest.centres.values())
        _spare_the_collector()
        click.echo(f"sipbridge {__version__} ready: sip {' '.join(addresses)} {listening}")
        self._systemd.ready()

    async def _recover(self, left: Sequence[Unfinished]) -> None:
        with self._live_config.in_use() as version:
            await recover(left, version)

    def _warm_up(self, centres: Iterable[ContactCentre]) -> None:
        for centre in centres:
            self._background.start(centre.warm_up())

    async def _end_background(self) -> None:
        self._background.cancel()
        await self._background.wait()

    # ------------------------------------------------------------ serving

    def _take_call(self, leg: Leg, admitted: Admitted) -> None:
        call = Call(admitted, leg)
        task = asyncio.create_task(run_call(call))
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)

    async def _watch_threads(self, store: RecordStore) -> None:
        while True:
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            await self._look_at_threads(store)
            await self._free_unused()

    async def _look_at_threads(self, store: RecordStore) -> None:
        lag_seconds, shortage = await self._trunk.measure_lag()
        self._readiness.turned(shortage)
        self._systemd.alive()
        self._metrics.set_sip_thread_lag(lag_seconds)
        self._metrics.set_event_loop_tasks(len(asyncio.all_tasks()))
        self._metrics.set_pjsip_pools_in_use(self._trunk.pools_in_use())
        self._metrics.set_media_counts(*self._trunk.audio_counts())
        self._metrics.set_dialog_strangers(self._trunk.strangers())
        self._metrics.set_store_pending_records(store.waiting)

    # ------------------------------------------------------------ what whoever runs it may ask

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken."""
        return self._stop_asked.is_set()

    @property
    def calls(self) -> int:
        """How many are in progress."""
        return self._admission.active

    def drain(self) -> None:
        """Begin to drain; again, it changes nothing."""
        self._stop_asked.set()

    # ------------------------------------------------------------ a new reading of the configuration

    async def reload(self) -> ReloadReport:
        """Read the configuration again, for new calls. Raises `ConfigError`, and changes nothing then."""
        async with self._reloading:
            try:
                config = await asyncio.to_thread(self._read)
                report = await self._apply(config)
            except (ConfigError, StartupError) as error:
                self._observe(ConfigRead(Outcome(Result.CLIENT_ERROR, "bad_configuration")))
                raise ConfigError(_problems(error)) from None
            self._observe(ConfigRead(Outcome(Result.SUCCESS, "read")))
            return report

    async def _apply(self, read: Config) -> ReloadReport:
        before = self._live_config.latest.centres
        warnings = await asyncio.to_thread(find_all_warnings, read)
        waiting = await self._live_config.reload(read)
        latest = self._live_config.latest
        self._warm_up(centre for client, centre in latest.centres.items() if centre is not before.get(client))
        for key in waiting:
            logger.warning(
                "%s: changed, which takes effect with a restart", key, extra={"event": "config_restart_required"}
            )
        _log_warnings(warnings)
        await self._free_unused()
        return ReloadReport(tuple(waiting), tuple(warnings))

    async def _free_unused(self) -> None:
        """Free what belongs to versions whose last call is over."""
        if await self._live_config.free_unused(call.context for call in self._calls.values()):
            self._metrics.keep_projects(self._live_config.projects)

    async def _reload_when_told(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            for problem in error.problems:
                logger.error("not reloaded: %s", problem, extra={"event": "config_refused"})  # noqa: TRY400 (no traceback: the line says it all)
        except Exception:
            logger.exception("not reloaded", extra={"event": "internal_error"})

    # ------------------------------------------------------------ draining and stopping

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._ask_to_reload)
        # One that came before there was anybody to hear it was kept back until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _ask_to_reload(self) -> None:
        self._background.start(self._reload_when_told())

    def _ask_to_stop(self) -> None:
        """Drain at the first signal, end at the second. A drain that the API began goes on at the first."""
        self._stop_signals += 1
        self._stop_asked.set()
        if self._stop_signals == 2:  # noqa: PLR2004 (the one that ends all calls)
            logger.warning("second stop signal: ending %d calls", self.calls, extra={"event": "stop_forced"})
        self._cut_short_if_told()

    def _cut_short_if_told(self) -> None:
        if self._stop_signals > 1:
            self._cut_short()

    def _cut_short(self) -> None:
        """End all calls; one that is ending is left alone, for its record."""
        for task, call in self._calls.items():
            if not call.ending:
                call.ending = True
                task.cancel()

    async def _drain(self) -> None:
        """Take no more calls, let those in progress end, hand off the rest, wait for the last."""
        drain_seconds = self._live_config.latest.config.drain_seconds
        self._admission.draining = True
        self._systemd.stopping(within_seconds=drain_seconds + LAST_CALLS_SECONDS + CLOSING_SECONDS)
        self._observe(DrainChanged(draining=True, calls=self.calls, wait_seconds=drain_seconds))
        # Who came through the gate a moment ago is a call, too: nobody would end it once the SIP thread has stopped.
        await self._trunk.caught_up()
        self._cut_short_if_told()
        await self._calls_over(drain_seconds)
        for call in self._registry.all():
            call.drain()
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
