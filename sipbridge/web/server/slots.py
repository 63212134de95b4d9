"""Limits on the requests served at once: with a key, of a client, with all keys, of chats' readers, and of pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from aiohttp import web

from sipbridge.web.server.errors import TooManyRequests

# Of the 512 connections of a listener. All keys together leave 64 for /healthz, /readyz, /metrics, pop links and
# administrators, whose requests are short.
MAX_PER_KEY = 128
MAX_PER_CLIENT = 256
MAX_TOTAL = 448
# Of those, for requests of a token: their credentials are in the body, which anyone may send slowly.
MAX_GUESTS_PER_SOURCE = 8
MAX_GUESTS = 32
# Each chat in progress brings its own: a bot that holds one stream per chat needs `max_chats` of them. Two, since a bot
# may reconnect before the bridge notices that the connection was lost.
STREAMS_PER_CHAT = 2
# Open pages of screen-pops have connections beyond those 512: each human agent may have one, and a supervisor too.
PAGES_PER_RECORD = 8
MAX_PAGES = 1_000

_Limits = Mapping[tuple[str, str], int]
_WHOSE = {
    "key": "with this key",
    "client": "of this account",
    "all": "with all keys",
    "source": "for tokens from this address",
    "guests": "for tokens",
    "page": "for this page",
    "pages": "for pages",
}


class Slots:
    """The requests that are being served, except those for everyone. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str]] = Counter()
        self.streams = 0  # those of chats' own slots and of pages: each has a connection beyond the usual ones

    def hold(self, key: str, client: str) -> AbstractContextManager[None]:
        """Hold a slot while a request is served. Raises `TooManyRequests`."""
        return self._hold({("key", key): MAX_PER_KEY, ("client", client): MAX_PER_CLIENT, ("all", ""): MAX_TOTAL})

    def hold_guest(self, source: str) -> AbstractContextManager[None]:
        """Hold a slot while a request is served whose sender is not known before its body. Raises `TooManyRequests`."""
        return self._hold(
            {("source", source): MAX_GUESTS_PER_SOURCE, ("guests", ""): MAX_GUESTS, ("all", ""): MAX_TOTAL}
        )

    def hold_stream(self, chat: str, key: str, client: str) -> AbstractContextManager[None]:
        """Hold a slot of a chat in progress while its events are read; those of the key if the chat's are taken."""
        if self._held["chat", chat] >= STREAMS_PER_CHAT:
            return self.hold(key, client)
        return self._hold_stream({("chat", chat): STREAMS_PER_CHAT})

    def hold_page(self, record: str) -> AbstractContextManager[None]:
        """Hold a slot while the page of a call or chat is open. Raises `TooManyRequests`."""
        return self._hold_stream({("page", record): PAGES_PER_RECORD, ("pages", ""): MAX_PAGES})

    @contextmanager
    def _hold_stream(self, limits: _Limits) -> Iterator[None]:
        with self._hold(limits):
            self.streams += 1
            try:
                yield
            finally:
                self.streams -= 1

    @contextmanager
    def _hold(self, limits: _Limits) -> Iterator[None]:
        for (kind, name), limit in limits.items():
            if self._held[kind, name] >= limit:
                raise TooManyRequests(f"more than {limit} requests at once {_WHOSE[kind]}; wait for one to end")
        for each in limits:
            self._held[each] += 1
        try:
            yield
        finally:
            for each in limits:
                self._held[each] -= 1
                if not self._held[each]:
                    del self._held[each]


SLOTS = web.AppKey("slots", Slots)
