"""What systemd is told of the bridge: that it serves, that it is alive, that it stops and how long that takes.

Source: sd_notify(3). Where no service manager asked for it (no `NOTIFY_SOCKET`), nothing is told to anybody.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress


class SystemdNotifier:
    """The service manager that started us, if one did. Nothing here raises or blocks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is of Linux's abstract namespace (unix(7)).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        """Tell that calls are taken."""
        self._tell("READY=1")

    def alive(self) -> None:
        """Tell that loop and SIP thread both turn; told too seldom (`WatchdogSec`), the process is ended."""
        self._tell("WATCHDOG=1")

    def stopping(self, *, within_seconds: float) -> None:
        """Tell that the process ends by itself, and ask for that long, whatever `TimeoutStopSec` says."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_seconds * 1_000_000)}")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A service manager that does not listen is no reason to end calls.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # noqa: FBT003 (its only parameter)
            channel.sendto(message.encode(), self._address)
