"""The health of the process: the lag of its threads, and the resources that they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sipbridge.app.systemd import SystemdNotifier
from sipbridge.calls.ports.store import RecordStore
from sipbridge.calls.readiness import Readiness
from sipbridge.sip.user_agent import UserAgent
from sipbridge.telemetry import Metrics

CHECK_INTERVAL_SECONDS = 1.0


class HealthMonitor:
    """Measures the SIP thread and the event loop, for `/readyz`, the metrics and systemd's watchdog."""

    def __init__(
        self,
        user_agent: UserAgent,
        store: RecordStore,
        readiness: Readiness,
        metrics: Metrics,
        systemd: SystemdNotifier,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._user_agent = user_agent
        self._store = store
        self._readiness = readiness
        self._metrics = metrics
        self._systemd = systemd
        self._clock = clock
        self._lag_seconds = 0.0
        # Of a check that the SIP thread has not responded to yet.
        self._began: float | None = None
        metrics.show_event_loop_tasks(lambda: len(asyncio.all_tasks()))
        metrics.show_sip_thread_lag(self._sip_thread_lag)
        metrics.show_ready(lambda: readiness.obstacle() is None)

    async def run(self) -> None:
        """Check each second until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Measure the response time of the SIP thread, and publish the resources of both threads."""
        self._began = self._clock()
        self._lag_seconds, shortage = await self._user_agent.measure_lag()
        self._began = None
        self._readiness.turned(shortage)
        self._systemd.alive()
        self._metrics.set_pjsip_pools_in_use(self._user_agent.pools_in_use())
        self._metrics.set_media_counts(*self._user_agent.audio_counts())
        self._metrics.set_playout_delay(self._user_agent.playout_delay())
        self._metrics.set_dialog_strangers(self._user_agent.strangers())
        self._metrics.set_store_pending_records(self._store.waiting)

    def _sip_thread_lag(self) -> float:
        """Return the delay in seconds of the last check, or of one that has waited for longer than a check should."""
        began = self._began
        waited = 0.0 if began is None else self._clock() - began
        return max(self._lag_seconds, waited) if waited > CHECK_INTERVAL_SECONDS else self._lag_seconds
