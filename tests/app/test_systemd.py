from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sipbridge.app.systemd import SystemdNotifier


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        channel.settimeout(5)
        yield channel


def test_ready_and_alive_are_sent_to_systemd(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening(address) as systemd:
        supervisor = SystemdNotifier({"NOTIFY_SOCKET": address})
        supervisor.ready()
        supervisor.alive()
        assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]


def test_a_stop_requests_the_time_that_it_needs(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening(address) as systemd:
        SystemdNotifier({"NOTIFY_SOCKET": address}).stopping(within_seconds=95.5)
        assert systemd.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=95500000"


def test_a_socket_of_the_abstract_namespace_is_reached(tmp_path: Path) -> None:
    address = f"@{tmp_path.name}-notify"
    with listening(address) as systemd:
        SystemdNotifier({"NOTIFY_SOCKET": address}).ready()
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}], ids=["none", "gone"])
def test_without_a_service_manager_nothing_is_raised(environ: dict[str, str]) -> None:
    SystemdNotifier(environ).ready()


def test_a_service_manager_that_does_not_read_never_blocks(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening(address):
        supervisor = SystemdNotifier({"NOTIFY_SOCKET": address})
        for _ in range(1000):  # more than its queue holds (net.unix.max_dgram_qlen)
            supervisor.alive()
