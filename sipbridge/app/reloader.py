"""Reloads: the configuration is read again for new calls, and versions that no call uses are freed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from sipbridge.aio import BackgroundTasks
from sipbridge.app.live_config import LiveConfig
from sipbridge.app.preflight import find_all_warnings
from sipbridge.calls.context import CallContext
from sipbridge.calls.events import ConfigRead
from sipbridge.calls.ports.cxone import ContactCentre
from sipbridge.calls.ports.observer import Observer
from sipbridge.chats.context import ChatContext
from sipbridge.config import Config
from sipbridge.errors import ConfigError, StartupError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.telemetry import Metrics
from sipbridge.web import ReloadReport

logger = logging.getLogger(__name__)

FREE_INTERVAL_SECONDS = 1.0


class Reloader:
    """Applies reloads, one at a time.

    `read` reads and checks the file; `in_use` returns the versions of calls and chats.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        live_config: LiveConfig,
        in_use: Callable[[], Iterable[CallContext | ChatContext]],
        observe: Observer,
        metrics: Metrics,
        background: BackgroundTasks,
    ) -> None:
        self._read = read
        self._live_config = live_config
        self._in_use = in_use
        self._observe = observe
        self._metrics = metrics
        self._background = background

    async def reload(self) -> ReloadReport:
        """Read the configuration again, for new calls. Raises `ConfigError`; then nothing has changed."""
        try:
            config = await asyncio.to_thread(self._read)
            report = await self._apply(config)
        except (ConfigError, StartupError) as error:
            self._observe(ConfigRead(Outcome(Result.CLIENT_ERROR, "bad_configuration")))
            raise ConfigError(error.problems) from None
        self._observe(ConfigRead(Outcome(Result.SUCCESS, "read")))
        return report

    async def _apply(self, read: Config) -> ReloadReport:
        # Everything that can fail comes before the version is in use.
        before = self._live_config.latest
        warnings = await asyncio.to_thread(find_all_warnings, read, running=before.config)
        waiting = await self._live_config.reload(read)
        latest = self._live_config.latest.centres
        self.warm_up(centre for client, centre in latest.items() if centre is not before.centres.get(client))
        for key in waiting:
            extra = {"event": "config_restart_required"}
            logger.warning("%s: changed, which takes effect with a restart", key, extra=extra)
        log_warnings(warnings)
        await self.free_unused()
        return ReloadReport(tuple(waiting), tuple(warnings))

    def warm_up(self, centres: Iterable[ContactCentre]) -> None:
        """Get a token from each CXone tenant, so that the first call does not wait for one."""
        for centre in centres:
            self._background.start(centre.warm_up())

    async def free_unused(self) -> None:
        """Free the versions that no call uses, and the metric series of projects that no version has."""
        if await self._live_config.free_unused(self._in_use()):
            self._metrics.keep_projects(self._live_config.projects)

    async def run(self) -> None:
        """Free unused versions each second until cancelled."""
        while True:
            await asyncio.sleep(FREE_INTERVAL_SECONDS)
            await self.free_unused()


def log_warnings(warnings: Iterable[str]) -> None:
    """Log the warnings about a configuration."""
    for warning in warnings:
        logger.warning("%s", warning, extra={"event": "config_warning"})
