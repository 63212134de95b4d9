"""Requests that are served at once: what one key, one client and all of them may hold of the connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sipbridge.web.server.errors import TooManyRequests

# Of the 512 connections of a listener. What all keys together leave is for /healthz, /readyz, /metrics, pop links and
# administrators, which hold theirs for a moment only.
MAX_OF_A_KEY = 128
MAX_OF_A_CLIENT = 256
MAX_OF_ALL = 448


class Slots:
    """Counts the requests with keys that are being served, event streams among them. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def hold(self, key: str, client: str) -> Iterator[None]:
        """Hold a slot while a request is served. Raises `TooManyRequests`."""
        limits = {("key", key): MAX_OF_A_KEY, ("client", client): MAX_OF_A_CLIENT, ("all", ""): MAX_OF_ALL}
        for (kind, name), most in limits.items():
            if self._held[kind, name] >= most:
                whose = {"key": "with this key", "client": "of this account", "all": "by all keys"}[kind]
                raise TooManyRequests(f"more than {most} requests at once {whose}; wait for one to end")
        self._held.update(limits.keys())
        try:
            yield
        finally:
            self._held.subtract(limits.keys())
            for each in limits:
                if not self._held[each]:
                    del self._held[each]
