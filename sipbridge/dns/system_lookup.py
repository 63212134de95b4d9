"""Lookups with the system's resolver, for names that only the system knows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from sipbridge.dns.cache import MAX_PEER_LOOKUPS
from sipbridge.dns.records import Addresses
from sipbridge.errors import NameNotResolved

# One per name that c-ares does not find, for as long as getaddrinfo takes; more than the lookups of all peers.
MAX_SYSTEM_THREADS = 2 * MAX_PEER_LOOKUPS
SystemLookup: TypeAlias = Callable[[str], Addresses]


def ask_system(name: str) -> Addresses:
    """Look up a name with the system's resolver, which may take long. Raises `OSError` or `ValueError`."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class SystemLookups:
    """Lookups with the system's resolver, each on a thread, since getaddrinfo cannot be cancelled.

    There is at most one thread per name. Threads are daemons, so that none delays the end of the process.
    """

    def __init__(self, look_up: SystemLookup) -> None:
        self._look_up = look_up
        self._busy: set[str] = set()

    async def find(self, name: str) -> Addresses:
        """Look up a name. Raises the system's error, or `NameNotResolved` if too many lookups are in progress."""
        if len(self._busy) >= MAX_SYSTEM_THREADS:
            raise NameNotResolved(f"the name {name} could not be resolved: too many other lookups are in progress")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Addresses] = loop.create_future()
        self._busy.add(name)
        threading.Thread(target=self._run, args=(loop, name, found), name="getaddrinfo", daemon=True).start()
        return await found

    def _run(self, loop: asyncio.AbstractEventLoop, name: str, found: asyncio.Future[Addresses]) -> None:
        result: Addresses | Exception
        try:
            result = self._look_up(name)
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
            result = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._done, name, found, result)

    def _done(self, name: str, found: asyncio.Future[Addresses], result: Addresses | Exception) -> None:
        self._busy.discard(name)
        if found.done():
            return
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)
