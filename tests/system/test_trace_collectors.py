"""Collectors of traces that are down, hang or come back, and a bridge without the packages for traces."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings
from tests.harness.web.trace_collector import trace_collector

from .site import clients, site

pytestmark = pytest.mark.program

# The SDK tries for ten seconds by default.
IMPATIENT = ("env", "OTEL_EXPORTER_OTLP_TIMEOUT=0.5")
STOP_SECONDS = 6
# Python runs this module at its start, if it is in PYTHONPATH.
WITHOUT_EXTRA = """
import importlib.metadata
import sys

sys.modules["opentelemetry"] = None
find = importlib.metadata.version


def version(name):
    if name.startswith("opentelemetry"):
        raise importlib.metadata.PackageNotFoundError(name)
    return find(name)


importlib.metadata.version = version
"""


@contextmanager
def refusing() -> Iterator[str]:
    """Return the URL of a port on which no program listens."""
    yield f"http://127.0.0.1:{reserved_port()}"


@contextmanager
def black_hole() -> Iterator[str]:
    """Return the URL of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("collector", [refusing, black_hole])
def test_a_collector_that_is_down_does_not_affect_calls_or_the_stop(
    tmp_path: Path, cxone: Simulator, collector: Callable[[], AbstractContextManager[str]]
) -> None:
    with (
        collector() as url,
        site(tmp_path, cxone, launcher=IMPATIENT, telemetry={"otlp_endpoint": url}) as trunk,
    ):
        count = trunk.count()
        call = trunk.call("release", "release").wait_for_scenario()
        assert call.record()["handoff"]["state"] == "handoff_completed"
        assert len(call.signals()) == 1
        assert count.grows_by(1, "sipbridge_calls_total", project="release")
        trunk.bridge.wait_for_metric(0, "sipbridge_trace_collector_up")
        for result in ("exported", "failed", "dropped"):
            assert trunk.bridge.metrics().value("sipbridge_trace_spans_total", result=result) == 0
        trunk.bridge.program.logged("trace_collector_down")
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(STOP_SECONDS) == 0


def test_the_spans_of_an_outage_arrive_when_the_collector_is_back(tmp_path: Path, cxone: Simulator) -> None:
    with trace_collector() as collector:
        collector.status = 503
        with site(tmp_path, cxone, launcher=IMPATIENT, telemetry={"otlp_endpoint": collector.url}) as trunk:
            trunk.bridge.wait_for_metric(0, "sipbridge_trace_collector_up")
            call = trunk.call("release", "release")
            call_id = call.record()["id"]
            collector.status = 200
            collector.trace_of("sipbridge.call_id", call_id, "call", seconds=40)
            trunk.bridge.wait_for_metric(1, "sipbridge_trace_collector_up")


def test_the_last_spans_arrive_before_the_bridge_has_stopped(tmp_path: Path, cxone: Simulator) -> None:
    with trace_collector() as collector:
        with site(tmp_path, cxone, telemetry={"otlp_endpoint": collector.url}) as trunk:
            trunk.bridge.wait_for_metric(1, "sipbridge_trace_collector_up")
            call_id = trunk.call("caller_hangs_up", "waiting", hold_seconds=30).wait_until_answered()
            trunk.bridge.program.stop()
        assert collector.of("sipbridge.call_id", call_id)[-1].name == "call"


@pytest.fixture
def without_extra(tmp_path: Path) -> tuple[str, str]:
    """The launcher of a bridge that does not find the packages of the extra."""
    folder = tmp_path / "without_extra"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITHOUT_EXTRA)
    return "env", f"PYTHONPATH={folder}"


def test_the_bridge_runs_without_the_packages_for_traces(
    tmp_path: Path, cxone: Simulator, without_extra: tuple[str, str]
) -> None:
    with site(tmp_path, cxone, launcher=without_extra) as trunk:
        call = trunk.call("release", "release").wait_for_scenario()
        assert call.record()["handoff"]["state"] == "handoff_completed"


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_endpoint_without_the_packages_is_refused_with_what_to_install(
    tmp_path: Path, cxone: Simulator, without_extra: tuple[str, str], command: str
) -> None:
    file = tmp_path / "bridge.yaml"
    settings = bridge_settings(tmp_path, clients(tmp_path, cxone.url, reserved_port()))
    file.write_text(yaml.safe_dump({**settings, "telemetry": {"otlp_endpoint": "http://127.0.0.1:4318"}}))
    done = subprocess.run(  # noqa: S603 (our own program)
        [*without_extra, SIPBRIDGE, command, file], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert "telemetry.otlp_endpoint: needs packages that are not installed" in done.stdout + done.stderr
    assert "sipbridge[tracing]" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
