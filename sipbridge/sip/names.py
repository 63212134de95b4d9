"""Resolves host names for PJSIP, which must not wait for DNS: the SIP thread would stand still for all calls."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pjsua2 as pj

# Names that peers write into their messages, looked up at once; more of them have to come again.
_MAX_ASKED = 2
_THREADS = 2 * _MAX_ASKED
# How long an address is taken for granted. What DNS says of that, the system's resolver does not tell.
_FRESH_SECONDS = 60.0
_MAX_FRESH = 1000


class Names:
    """The host names that PJSIP knows (config/pjsip/sipbridge_names.hpp). Everything here runs on the event loop."""

    def __init__(self) -> None:
        # Not the loop's own threads: a name that nobody answers for would keep CXone's waiting.
        self._threads = ThreadPoolExecutor(_THREADS, "names")
        self._asked: set[asyncio.Task[None]] = set()
        self._fresh: dict[str, float] = {}

    async def learn(self, name: str) -> None:
        """Look a name up and tell PJSIP; one that cannot be resolved is not known afterwards."""
        if time.monotonic() - self._fresh.get(name, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._threads, _look_up, name)
        pj.learnName(name, addresses)
        self._fresh.pop(name, None)
        if addresses:
            self._fresh[name] = time.monotonic()
            if len(self._fresh) > _MAX_FRESH:
                del self._fresh[next(iter(self._fresh))]

    def asked(self, name: str) -> None:
        """Look up what a peer has written, by and by."""
        if len(self._asked) >= _MAX_ASKED:
            pj.learnName(name, [])
            return
        task = asyncio.ensure_future(self.learn(name))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    def close(self) -> None:
        """Look up no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
