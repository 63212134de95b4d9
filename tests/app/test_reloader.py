"""Reloads: their reports; a refused one changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sipbridge.aio import BackgroundTasks
from sipbridge.app.reloader import Reloader
from sipbridge.calls.events import ConfigRead
from sipbridge.config import Config
from sipbridge.errors import ConfigError, StartupError
from sipbridge.telemetry import Metrics
from sipbridge.web import ReloadReport
from tests.fakes import RecordingObserver

from .test_live_config import Bridge


class World:
    """A bridge whose next configuration is `file`; if that is an error, reading raises it."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.file: Config | Exception = bridge.config()
        self.observer = RecordingObserver()
        self.reloader = Reloader(
            self._read,
            bridge.versions,
            list,
            self.observer,
            Metrics(pjsip_version="2.15"),
            BackgroundTasks(),
        )

    def _read(self) -> Config:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def outcomes(self) -> list[tuple[str, str]]:
        return [
            (event.outcome.result, event.outcome.reason)
            for event in self.observer.events
            if isinstance(event, ConfigRead)
        ]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    bridge = Bridge(tmp_path)
    await bridge.versions.load()
    return World(bridge)


async def test_a_reload_reports_keys_that_need_a_restart_and_the_warnings_of_the_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    changed: Any = world.bridge.config(auth_token=None)
    world.file = changed.model_copy(update={"sip": changed.sip.model_copy(update={"max_calls": 7})})
    with caplog.at_level(logging.WARNING):
        report = await world.reloader.reload()
    assert report.restart_required == ("sip.max_calls",)
    assert any("auth_token: null " in warning for warning in report.warnings)
    events = {record.__dict__["event"] for record in caplog.records}
    assert events == {"config_restart_required", "config_warning"}
    assert world.outcomes() == [("success", "read")]


async def test_a_reload_warns_of_a_public_address_that_does_not_resolve(world: World) -> None:
    changed: Any = world.bridge.config()
    sip = changed.sip.model_copy(update={"public_address": "no-such-host.invalid"})
    world.file = changed.model_copy(update={"sip": sip})
    report = await world.reloader.reload()
    assert report.restart_required == ("sip.public_address",)
    assert [text for text in report.warnings if text.startswith("sip.public_address: has no IPv4 address in DNS; ")]


@pytest.mark.parametrize(
    ("error", "problems"),
    [(ConfigError(["a: wrong", "b: wrong"]), ["a: wrong", "b: wrong"]), (StartupError("c: wrong"), ["c: wrong"])],
)
async def test_a_refused_reload_changes_nothing_and_has_every_problem(
    world: World, error: Exception, problems: list[str]
) -> None:
    before = world.bridge.versions.latest
    world.file = error
    with pytest.raises(ConfigError) as caught:
        await world.reloader.reload()
    assert caught.value.problems == problems
    assert world.bridge.versions.latest is before
    assert world.outcomes() == [("client_error", "bad_configuration")]


async def test_a_reload_without_changes_reports_none(world: World) -> None:
    report = await world.reloader.reload()
    assert report.restart_required == ()
    assert isinstance(report, ReloadReport)
