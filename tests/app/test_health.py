"""The health check and its publications."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sipbridge.app import health
from sipbridge.app.health import HealthMonitor
from sipbridge.app.systemd import SystemdNotifier
from sipbridge.calls.admission import Admission
from sipbridge.calls.readiness import Readiness
from sipbridge.sip.user_agent import UserAgent
from sipbridge.telemetry import Metrics
from tests.calls.world import make_config
from tests.fakes import FakeStore, Journal


class FakeUserAgent:
    """A user agent with a lag of 0.25 s, with or without a shortage."""

    shortage: str | None = None

    def __init__(self) -> None:
        self.responding = asyncio.Event()
        self.responding.set()
        self.checks = 0
        self.checked_thrice = asyncio.Event()

    async def measure_lag(self) -> tuple[float, str | None]:
        self.checks += 1
        if self.checks == 3:
            self.checked_thrice.set()
        await self.responding.wait()
        return 0.25, self.shortage

    def pools_in_use(self) -> int:
        return 7

    def audio_counts(self) -> tuple[int, int, int, int]:
        return 1, 2, 3, 4

    def playout_delay(self) -> float:
        return 0.0125

    def strangers(self) -> int:
        return 5


class Systemd(SystemdNotifier):
    """A notifier that counts watchdog notifications."""

    def __init__(self) -> None:
        super().__init__({})
        self.notifications = 0

    def alive(self) -> None:
        self.notifications += 1


class World:
    """A monitor, and everything that it publishes to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.user_agent = FakeUserAgent()
        self.readiness = Readiness(Admission(make_config()), clock=lambda: self.now)
        self.metrics = Metrics(pjsip_version="2.15")
        self.systemd = Systemd()
        agent: Any = self.user_agent
        self.monitor = HealthMonitor(
            cast("UserAgent", agent),
            FakeStore(Journal()),
            self.readiness,
            self.metrics,
            self.systemd,
            clock=lambda: self.now,
        )

    def shows(self, line: str) -> bool:
        return line in self.metrics.page().decode().splitlines()


async def test_the_first_check_makes_the_bridge_ready_and_each_notifies_the_watchdog() -> None:
    world = World()
    assert world.readiness.reason() == "starting"
    await world.monitor.check()
    assert world.readiness.reason() is None
    assert world.systemd.notifications == 1


async def test_a_shortage_of_the_sip_side_makes_the_bridge_not_ready() -> None:
    world = World()
    world.user_agent.shortage = "no RTP ports"
    await world.monitor.check()
    assert world.readiness.reason() == "full: no RTP ports"


async def test_lag_and_resources_are_in_the_metrics() -> None:
    world = World()
    await world.monitor.check()
    page = world.metrics.page().decode()
    assert "sipbridge_sip_thread_lag_seconds 0.25" in page
    assert "sipbridge_pjsip_pools_in_use 7.0" in page
    assert "sipbridge_media_playout_delay_seconds 0.0125" in page
    assert "sipbridge_store_pending_records 0.0" in page
    assert "sipbridge_event_loop_tasks 1.0" in page


async def test_the_lag_of_a_hung_sip_thread_grows_until_it_responds() -> None:
    world = World()
    await world.monitor.check()
    world.user_agent.responding.clear()
    check = asyncio.create_task(world.monitor.check())
    await asyncio.sleep(0)
    world.now += 0.9
    assert world.shows("sipbridge_sip_thread_lag_seconds 0.25")
    world.now += 29.1
    assert world.shows("sipbridge_sip_thread_lag_seconds 30.0")
    world.user_agent.responding.set()
    await check
    assert world.shows("sipbridge_sip_thread_lag_seconds 0.25")


async def test_readiness_is_in_the_metrics_also_while_no_check_ends() -> None:
    world = World()
    assert world.shows("sipbridge_ready 0.0")
    await world.monitor.check()
    assert world.shows("sipbridge_ready 1.0")
    world.now += 5
    assert world.shows("sipbridge_ready 0.0")


async def test_checks_repeat_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_INTERVAL_SECONDS", 0.001)
    world = World()
    task = asyncio.create_task(world.monitor.run())
    await asyncio.wait_for(world.user_agent.checked_thrice.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
