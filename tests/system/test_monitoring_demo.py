"""The demo bridges of compose.yaml: the commands of its services run here as programs, on ports of their own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.program import Program
from tests.harness.programs.prometheus import CONFIG
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch
from tests.harness.web.metrics import Metrics

COMPOSE = CONFIG.parents[1] / "monitoring" / "compose.yaml"
# What follows the name of a service is in its output once it runs.
PROGRAMS = {"cxone": "ready", "agent": "ready", "calls": "ready", "chats": "ready", "bot": "Running on"}
PORTS = ("9100", "9200", "9300", "8080", "8081", "5060", "9090")

Services = dict[str, dict[str, Any]]


@pytest.fixture
def ports() -> dict[str, str]:
    return {port: str(free_port()) for port in PORTS}


@pytest.fixture
def services(ports: dict[str, str]) -> Services:
    """The services, with free ports."""
    text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: ports[found[1]], COMPOSE.read_text())
    services: Services = yaml.safe_load(text)["services"]
    return services


@pytest.fixture
def demo(services: Services, tmp_path: Path) -> Iterator[None]:
    """The programs of the demo, in the order in which compose starts them."""
    with ExitStack() as stack:
        for name, ready in PROGRAMS.items():
            folder = tmp_path / name
            folder.mkdir()
            words = [mounted(part, services[name]) for part in services[name]["command"]]
            program = Program([SIPBRIDGE, *words], folder / "log", environ=environment(services[name], folder))
            stack.enter_context(program).line_with(ready)
        yield


@pytest.mark.usefixtures("demo")
def test_a_call_of_the_demo_is_in_the_metrics(services: Services, ports: dict[str, str], tmp_path: Path) -> None:
    caller = services["caller"]
    shell, option, script = caller["entrypoint"]
    (command,) = re.findall(r"sipbridge (call .+);", script)
    assert (shell, option) == ("sh", "-c")
    words = [mounted(part, caller) for part in shlex.split(command)]
    assert Program([SIPBRIDGE, *words], tmp_path / "log", environ=environment(caller, tmp_path)).wait(30) == 0
    seen = lambda: metrics(ports["8080"]).value("sipbridge_handoffs_total", client="demo", result="success")  # noqa: E731 (short)
    wait_for(seen, "the handoff")
    assert metrics(ports["8081"]).value("sipbridge_build_info") == 1


def test_prometheus_scrapes_the_bridges_of_the_demo(services: Services, ports: dict[str, str]) -> None:
    (job,) = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    (static,) = job["static_configs"]
    scraped = {ports[target.rpartition(":")[2]] for target in static["targets"]}
    assert scraped == {services[name]["environment"]["DEMO_HTTP_PORT"] for name in ("calls", "chats")}


def mounted(part: str, service: dict[str, Any]) -> str:
    """Return a word of a command, with the path of this machine for a mounted file."""
    for volume in service.get("volumes", ()):
        source, target, _ = volume.split(":")
        part = part.replace(target, str((COMPOSE.parent / source).resolve()))
    return part


def environment(service: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the environment of a service, with a folder of this machine."""
    return {
        name: value.replace("/var/lib/sipbridge", str(folder)) for name, value in service.get("environment", {}).items()
    }


def metrics(port: str) -> Metrics:
    """Read the metrics of a bridge."""
    return Metrics(fetch(f"http://127.0.0.1:{port}/metrics").body.decode())
