"""Limits on the requests served at once: with one key, of one client, and with all keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sipbridge.web.server.errors import TooManyRequests

# Of the 512 connections of a listener. All keys together leave 64 for /healthz, /readyz, /metrics, pop links and
# administrators, whose requests are short.
MAX_PER_KEY = 128
MAX_PER_CLIENT = 256
MAX_TOTAL = 448


class Slots:
    """The requests with keys that are being served, event streams included. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def hold(self, key: str, client: str) -> Iterator[None]:
        """Hold a slot while a request is served. Raises `TooManyRequests`."""
        limits = {("key", key): MAX_PER_KEY, ("client", client): MAX_PER_CLIENT, ("all", ""): MAX_TOTAL}
        for (kind, name), limit in limits.items():
            if self._held[kind, name] >= limit:
                whose = {"key": "with this key", "client": "of this account", "all": "with all keys"}[kind]
                raise TooManyRequests(f"more than {limit} requests at once {whose}; wait for one to end")
        self._held.update(limits.keys())
        try:
            yield
        finally:
            self._held.subtract(limits.keys())
            for each in limits:
                if not self._held[each]:
                    del self._held[each]
