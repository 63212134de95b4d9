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


class Scene:
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
async def scene(tmp_path: Path) -> Scene:
    bridge = Bridge(tmp_path)
    await bridge.versions.load()
    return Scene(bridge)


async def test_a_reload_reports_keys_that_need_a_restart_and_the_warnings_of_the_file(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    changed: Any = scene.bridge.config(auth_token=None)
    scene.file = changed.model_copy(update={"sip": changed.sip.model_copy(update={"max_calls": 7})})
    with caplog.at_level(logging.WARNING):
        report = await scene.reloader.reload()
    assert report.restart_required == ("sip.max_calls",)
    assert any("auth_token: null " in warning for warning in report.warnings)
    events = {record.__dict__["event"] for record in caplog.records}
    assert events == {"config_restart_required", "config_warning"}
    assert scene.outcomes() == [("success", "read")]


async def test_a_reload_warns_of_a_public_address_that_does_not_resolve(scene: Scene) -> None:
    changed: Any = scene.bridge.config()
    sip = changed.sip.model_copy(update={"public_address": "no-such-host.invalid"})
    scene.file = changed.model_copy(update={"sip": sip})
    report = await scene.reloader.reload()
    assert report.restart_required == ("sip.public_address",)
    assert [text for text in report.warnings if text.startswith("sip.public_address: has no IPv4 address in DNS; ")]


@pytest.mark.parametrize(
    ("error", "problems"),
    [(ConfigError(["a: wrong", "b: wrong"]), ["a: wrong", "b: wrong"]), (StartupError("c: wrong"), ["c: wrong"])],
)
async def test_a_refused_reload_changes_nothing_and_has_every_problem(
    scene: Scene, error: Exception, problems: list[str]
) -> None:
    before = scene.bridge.versions.latest
    scene.file = error
    with pytest.raises(ConfigError) as caught:
        await scene.reloader.reload()
    assert caught.value.problems == problems
    assert scene.bridge.versions.latest is before
    assert scene.outcomes() == [("client_error", "bad_configuration")]


async def test_a_reload_without_changes_reports_none(scene: Scene) -> None:
    report = await scene.reloader.reload()
    assert report.restart_required == ()
    assert isinstance(report, ReloadReport)
