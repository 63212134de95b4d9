"""Notifications to systemd: the bridge is ready, is alive, or stops within a given time.

Source: sd_notify(3). Without a service manager that requested them (`NOTIFY_SOCKET`), nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress


class SystemdNotifier:
    """Notifies the service manager, if there is one. No method raises or blocks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in Linux's abstract namespace (unix(7)).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        """Notify that the bridge takes calls."""
        self._send("READY=1")

    def alive(self) -> None:
        """Notify that both threads run. Without it for as long as `WatchdogSec`, systemd ends the process."""
        self._send("WATCHDOG=1")

    def stopping(self, *, within_seconds: float) -> None:
        """Notify that the process stops on its own, and request this much time, whatever `TimeoutStopSec` is."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_seconds * 1_000_000)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # Calls must not end because a service manager does not listen.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # noqa: FBT003 (its only parameter)
            channel.sendto(message.encode(), self._address)
