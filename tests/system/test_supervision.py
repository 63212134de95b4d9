"""The bridge under a service manager: its notifications, and what a crash leaves behind."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings

from .site import Site


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        yield channel


@pytest.fixture
def supervised(tmp_path: Path, cxone: Simulator, systemd: socket.socket) -> Iterator[Bridge]:
    acme = client_settings("+19995550001", cxone.url, {"billing": project_settings("billing")})
    settings = bridge_settings(tmp_path, {"acme": acme}) | {"drain_seconds": 7}
    with bridge(settings, tmp_path, environ={"NOTIFY_SOCKET": systemd.getsockname()}) as running:
        yield running


def test_the_service_manager_is_notified_of_start_watchdog_and_stop(supervised: Bridge, systemd: socket.socket) -> None:
    assert {systemd.recv(100) for _ in range(3)} == {b"READY=1", b"WATCHDOG=1"}
    supervised.program.terminate()
    said = b"WATCHDOG=1"
    while said == b"WATCHDOG=1":
        said = systemd.recv(100)
    assert said == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=%d" % ((7 + 25 + 10) * 1_000_000)
    assert supervised.program.wait() == 0


def test_a_crash_leaves_no_core_file_with_secrets(trunk: Site) -> None:
    # Soft and hard limit: no code loaded later can raise it again.
    limits = Path(f"/proc/{trunk.bridge.program.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
