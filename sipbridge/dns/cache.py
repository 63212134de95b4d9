"""The cache for one type of record, and the lookups in progress, of which peers have a share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sipbridge.dns.records import Found
from sipbridge.errors import NameNotResolved

# A requester waits no longer than this. The lookup itself continues, and its result is cached.
LOOKUP_SECONDS = 5.0
STALE_PATIENCE_SECONDS = 0.5  # if an earlier lookup found an address
MIN_FRESH_SECONDS = 10.0
MAX_FRESH_SECONDS = 300.0
FAILED_SECONDS = 5.0  # until a name that failed is looked up again
MAX_NAMES = 2000  # in memory; names of peers are dropped first, then the least recently used one
# Lookups in progress, for each kind of record. Beyond a limit, a name without a cached address fails at once.
# Peers write any names they like, so they share a part of the lookups. The rest is for names of the configuration.
MAX_LOOKUPS = 1000
MAX_PEER_LOOKUPS = 128  # of all peers
MAX_FAR_END_LOOKUPS = 16  # of one far end, in all its dialogs
MAX_DIALOG_LOOKUPS = 4  # of one dialog
_MAX_NAME_LENGTH = 253  # RFC 1035, 2.3.4

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """The author of a name in an SDP, a Contact, a Record-Route or a Via.

    `far_end` is the target of our INVITE or the source address of a call to us. `dialog` is the Call-ID, or the URI
    that a 3xx names.
    """

    far_end: str
    dialog: str


@dataclass(slots=True)
class _Known(Generic[T]):
    """A cache entry: the last result, None if no lookup has succeeded, and when to look up again.

    It is `configured` if the name is in the configuration, and not only in messages of peers.
    """

    value: T | None
    until: float
    configured: bool


@dataclass(slots=True)
class _Lookup(Generic[T]):
    task: asyncio.Task[Found[T]]
    began: float
    peer: Peer | None  # whose share it counts against


class RecordCache(Generic[T]):
    """The cache for one type of record."""

    def __init__(
        self,
        kind: str,
        clock: Callable[[], float],
        look_up: Callable[[str], Awaitable[Found[T]]],
        records_per_name: int = 1,
    ) -> None:
        self._kind = kind
        self._clock = clock
        self._look_up = look_up
        self._records_per_name = records_per_name
        self._known: dict[str, _Known[T]] = {}
        self._lookups: dict[str, _Lookup[T]] = {}

    async def find(self, name: str, peer: Peer | None) -> T:
        """Return the records of a name. Raises `NameNotResolved`."""
        name = name.lower().rstrip(".")
        if not 0 < len(name) <= _MAX_NAME_LENGTH:
            raise NameNotResolved("a host name is empty or too long")
        known = self._known.pop(name, None)
        if known is not None:
            self._known[name] = known  # the most recently used one
            known.configured |= peer is None
        value = known.value if known else None
        if known is None or self._clock() >= known.until:
            lookup = self._lookups.get(name) or self._begin(name, peer)
            if lookup is not None and peer is None:
                lookup.peer = None
            if lookup is not None and await self._wait(lookup, stale=value is not None):
                return lookup.task.result().value
        if value is None:
            raise NameNotResolved(f"the name {name} could not be resolved")
        return value

    async def close(self) -> None:
        """Cancel the lookups in progress."""
        tasks = [lookup.task for lookup in self._lookups.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str, peer: Peer | None) -> _Lookup[T] | None:
        if not self._has_slot(peer):
            return None
        task = asyncio.ensure_future(self._look_up(name))
        lookup = self._lookups[name] = _Lookup(task, self._clock(), peer)
        task.add_done_callback(lambda _: self._done(name, lookup))
        return lookup

    def _has_slot(self, peer: Peer | None) -> bool:
        if len(self._lookups) >= MAX_LOOKUPS:
            return False
        if peer is None:
            return True
        peers = [lookup.peer for lookup in self._lookups.values() if lookup.peer is not None]
        shares = (
            (len(peers), MAX_PEER_LOOKUPS),
            (sum(other.far_end == peer.far_end for other in peers), MAX_FAR_END_LOOKUPS),
            (peers.count(peer), MAX_DIALOG_LOOKUPS),
        )
        return all(used < limit * self._records_per_name for used, limit in shares)

    async def _wait(self, lookup: _Lookup[T], *, stale: bool) -> bool:
        """Wait for a lookup for a limited time; return True if it has succeeded."""
        left = lookup.began + (STALE_PATIENCE_SECONDS if stale else LOOKUP_SECONDS) - self._clock()
        if not lookup.task.done() and left > 0:
            await asyncio.wait([lookup.task], timeout=left)
        return _succeeded(lookup.task)

    def _done(self, name: str, lookup: _Lookup[T]) -> None:
        del self._lookups[name]
        if lookup.task.cancelled():
            return
        before = self._known.pop(name, None)
        configured = lookup.peer is None or (before is not None and before.configured)
        known = _Known(before.value if before else None, self._clock() + FAILED_SECONDS, configured)
        if _succeeded(lookup.task):
            found = lookup.task.result()
            known.value = found.value
            known.until = self._clock() + min(max(found.ttl, MIN_FRESH_SECONDS), MAX_FRESH_SECONDS)
        elif known.value is not None:
            extra = {"event": "name_stale", "host": name}
            logger.warning("no %s from DNS: using the last known one", self._kind, extra=extra)
        self._known[name] = known
        if len(self._known) > MAX_NAMES:
            del self._known[self._least_useful()]

    def _least_useful(self) -> str:
        """Return a name of a peer rather than of the configuration, failed if there is one, least recently used."""
        return min(self._known, key=lambda name: (self._known[name].configured, self._known[name].value is not None))


def _succeeded(task: asyncio.Task[Found[T]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
