"""The resolver and DNS cache of the process: addresses, SRV records and NAPTR records of host names.

SIP, WebSocket agents and CXone share it, so that each name is looked up once. It uses c-ares, which reads `/etc/hosts`
and needs no thread per name. Names that c-ares does not find are looked up with `getaddrinfo`, since only the system
knows some of them: those of mDNS, of a container runtime, of an NSS module.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Generic, TypeAlias, TypeVar

import aiodns
import pycares
from aiohappyeyeballs import AddrInfoType, start_connection

from sipbridge.errors import NameNotResolved

# A requester waits no longer than this. The lookup itself continues, and its result is cached.
LOOKUP_SECONDS = 5.0
STALE_PATIENCE_SECONDS = 0.5  # if an earlier lookup found an address
MIN_FRESH_SECONDS = 10.0
MAX_FRESH_SECONDS = 300.0
NO_RECORD_SECONDS = 60.0  # for a name without SRV or NAPTR records, which is usual
FAILED_SECONDS = 5.0  # until a name that failed is looked up again
MAX_NAMES = 2000  # in memory; names of peers are dropped first, then the least recently used one
# Lookups in progress, for each kind of record. Beyond a limit, a name without a cached address fails at once.
# Peers write any names they like, so they share a part of the lookups. The rest is for names of the configuration.
MAX_LOOKUPS = 1000
MAX_PEER_LOOKUPS = 128  # of all peers
MAX_FAR_END_LOOKUPS = 16  # of one far end, in all its dialogs
MAX_DIALOG_LOOKUPS = 4  # of one dialog
# One per name that c-ares does not find, for as long as getaddrinfo takes; more than the lookups of all peers.
MAX_SYSTEM_THREADS = 2 * MAX_PEER_LOOKUPS
_MAX_NAME_LENGTH = 253  # RFC 1035, 2.3.4
_SERVER_SECONDS = 2.0  # for c-ares to wait for one name server, and again for the next
_SERVER_TRIES = 2
_SECOND_ADDRESS_SECONDS = 0.25  # RFC 8305, section 5
_SERVICES_PER_NAME = 3  # a URI without a transport asks for UDP, TCP and TLS

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """A NAPTR record (RFC 3403), as RFC 3263 uses it."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Peer:
    """The author of a name in an SDP, a Contact, a Record-Route or a Via.

    `far_end` is the target of our INVITE or the source address of a call to us. `dialog` is the Call-ID, or the URI
    that a 3xx names.
    """

    far_end: str
    dialog: str


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    """The result of a lookup, and how many seconds it is valid."""

    value: T
    ttl: float


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
    task: asyncio.Task[_Found[T]]
    began: float
    peer: Peer | None  # whose share it counts against


Addresses: TypeAlias = tuple[str, ...]
SystemLookup: TypeAlias = Callable[[str], Addresses]


def ask_system(name: str) -> Addresses:
    """Look up a name with the system's resolver, which may take long. Raises `OSError` or `ValueError`."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Resolves host names and caches the results. Everything here runs on the event loop.

    - Simultaneous requests for a name share one lookup, which continues if the requesters give up.
    - A result is valid for its TTL, within bounds. After that the name is looked up again. If that fails or takes more
      than half a second, the last result is used (RFC 8767).
    - A failure is valid for some seconds, so that a silent name server does not delay the next request.
    - No name waits for another: lookups are not queued.
    - A request with a `peer` counts against the share of that peer. One without is for a name of the configuration.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        channel: aiodns.DNSResolver | None = None,
        system: SystemLookup = ask_system,
    ) -> None:
        self._clock = clock
        self._channel = channel
        self._addresses = _Cache("address", clock, self._look_up_addresses)
        self._services = _Cache("service", clock, self._look_up_services, _SERVICES_PER_NAME)
        self._pointers = _Cache("pointer", clock, self._look_up_pointers)
        self._system = _System(system)

    def open(self) -> None:
        """Open the file descriptors for lookups now: at the first lookup there may be none left."""
        self._cares()

    async def addresses(self, name: str, peer: Peer | None = None) -> Addresses:
        """Return the numeric addresses of a name, best first, or the address if it is one. Raises `NameNotResolved`."""
        return (name,) if _is_address(name) else await self._addresses.find(name, peer)

    async def services(self, name: str, peer: Peer | None = None) -> tuple[Service, ...]:
        """Return the SRV records of a name such as `_sip._udp.example.com`, unordered. Raises `NameNotResolved`."""
        return await self._services.find(name, peer)

    async def pointers(self, name: str, peer: Peer | None = None) -> tuple[Pointer, ...]:
        """Return the NAPTR records of a name, unordered. Raises `NameNotResolved`."""
        return await self._pointers.find(name, peer)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Open a TCP connection to the first address of a host that accepts one (RFC 8305).

        Raises `NameNotResolved` or `OSError`. The requester limits the time.
        """
        return await connect_first(await self.addresses(host), port)

    async def close(self) -> None:
        """Cancel the lookups in progress."""
        for cache in (self._addresses, self._services, self._pointers):
            await cache.close()
        if self._channel is not None:
            await self._channel.close()

    def _cares(self) -> aiodns.DNSResolver:
        if self._channel is None:
            self._channel = aiodns.DNSResolver(timeout=_SERVER_SECONDS, tries=_SERVER_TRIES)
        return self._channel

    async def _look_up_addresses(self, name: str) -> _Found[Addresses]:
        try:
            found = await self._cares().getaddrinfo(
                name, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except (aiodns.error.DNSError, UnicodeError):
            return _Found(await self._system.find(name), MIN_FRESH_SECONDS)
        addresses = tuple(dict.fromkeys(_text(node.addr[0]) for node in found.nodes))
        if not addresses:
            raise NameNotResolved(f"the name {name} has no address")
        return _Found(addresses, min(node.ttl for node in found.nodes))

    async def _records(self, name: str, kind: str) -> Sequence[pycares.DNSRecord]:
        """Return the records of a DNS answer, which may have none. Raises `DNSError` without an answer."""
        try:
            return (await self._cares().query_dns(name, kind)).answer
        except aiodns.error.DNSError as error:
            if error.args and error.args[0] in (aiodns.error.ARES_ENODATA, aiodns.error.ARES_ENOTFOUND):
                return ()
            raise

    async def _look_up_services(self, name: str) -> _Found[tuple[Service, ...]]:
        records = await self._records(name, "SRV")
        found = [
            (Service(data.priority, data.weight, _text(data.target).rstrip("."), data.port), record.ttl)
            for record in records
            if isinstance(data := record.data, pycares.SRVRecordData)
        ]
        return _Found(tuple(service for service, _ in found), min((ttl for _, ttl in found), default=NO_RECORD_SECONDS))

    async def _look_up_pointers(self, name: str) -> _Found[tuple[Pointer, ...]]:
        records = await self._records(name, "NAPTR")
        found = [
            (
                Pointer(data.order, data.preference, _text(data.flags), _text(data.service), _text(data.replacement)),
                record.ttl,
            )
            for record in records
            if isinstance(data := record.data, pycares.NAPTRRecordData)
        ]
        return _Found(tuple(pointer for pointer, _ in found), min((ttl for _, ttl in found), default=NO_RECORD_SECONDS))


class _Cache(Generic[T]):
    """The cache for one type of record."""

    def __init__(
        self,
        kind: str,
        clock: Callable[[], float],
        look_up: Callable[[str], Awaitable[_Found[T]]],
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


class _System:
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


async def connect_first(addresses: Sequence[str], port: int) -> socket.socket:
    """Open a TCP connection to the first numeric address that accepts one (RFC 8305). Raises `OSError`."""
    targets = [_target(address, port) for address in addresses]
    return await start_connection(targets, happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS, interleave=1)


def _succeeded(task: asyncio.Task[_Found[T]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False


def _target(address: str, port: int) -> AddrInfoType:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
