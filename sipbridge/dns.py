"""The one resolver of the process: names to addresses, services (SRV) and service pointers (NAPTR).

SIP, WebSocket agents and CXone share it, so that each name is looked up once. c-ares does it, which reads `/etc/hosts`
and needs no thread per name. What it does not find, the system is asked for (`getaddrinfo`), since there are names that
only the system knows: of mDNS, of a container's runtime, of a module of NSS.
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

# Who asks waits no longer, whatever the limit of its own; the lookup itself goes on, and what it finds is kept.
LOOKUP_SECONDS = 5.0
STALE_PATIENCE_SECONDS = 0.5  # where there is an address from an earlier lookup
MIN_FRESH_SECONDS = 10.0
MAX_FRESH_SECONDS = 300.0
NO_RECORD_SECONDS = 60.0  # for a name that has no SRV or NAPTR records, as most have none
FAILED_SECONDS = 5.0  # until a name that failed is looked up again
MAX_NAMES = 2000  # in memory; the one that was used the longest time ago goes first
MAX_LOOKUPS = 500  # under way; beyond it, names without an address fail at once
MAX_SYSTEM_THREADS = 128  # one for each name that c-ares does not find, as long as getaddrinfo takes
_MAX_NAME_LENGTH = 253  # RFC 1035, 2.3.4
_SERVER_SECONDS = 2.0  # c-ares for one name server, and once more for the next
_SERVER_TRIES = 2
_SECOND_ADDRESS_SECONDS = 0.25  # RFC 8305, section 5

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
class _Found(Generic[T]):
    """What a name stands for, and how long that is good."""

    value: T
    ttl: float


@dataclass(slots=True)
class _Known(Generic[T]):
    """What is known of a name: `value` is None where no lookup succeeded yet."""

    value: T | None
    until: float


@dataclass(slots=True)
class _Lookup(Generic[T]):
    task: asyncio.Task[_Found[T]]
    began: float


Addresses: TypeAlias = tuple[str, ...]
SystemLookup: TypeAlias = Callable[[str], Addresses]


def ask_system(name: str) -> Addresses:
    """Ask the system, which may take long. Raises `OSError` or `ValueError`."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Resolves names, and remembers. Everything here runs on the event loop.

    - However many ask for a name at once, there is one lookup, and it goes on when who asked gives up.
    - An answer is good for its TTL, within bounds. After that the name is looked up again; if nothing comes in half a
      second or the lookup fails, the last answer is used (RFC 8767).
    - A failure is good for some seconds: a name server that is silent costs the next who asks nothing.
    - No name waits for another: what is under way has no queue.
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
        self._services = _Cache("service", clock, self._look_up_services)
        self._pointers = _Cache("pointer", clock, self._look_up_pointers)
        self._system = _System(system)

    def open(self) -> None:
        """Take the file descriptors that lookups need now, and not with the first lookup, when none may be left."""
        self._cares()

    async def addresses(self, name: str) -> Addresses:
        """The numeric addresses of a name, best first; an address is itself. Raises `NameNotResolved`."""
        return (name,) if _is_address(name) else await self._addresses.find(name)

    async def services(self, name: str) -> tuple[Service, ...]:
        """The SRV records of a name such as `_sip._udp.example.com`, in no order, or none. Raises `NameNotResolved`."""
        return await self._services.find(name)

    async def pointers(self, name: str) -> tuple[Pointer, ...]:
        """The NAPTR records of a name, in no order, or none. Raises `NameNotResolved`."""
        return await self._pointers.find(name)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Open a TCP connection to the first of a host's addresses that takes it (RFC 8305).

        Raises `NameNotResolved` or `OSError`; how long it may take is for the caller to say.
        """
        targets = [_target(address, port) for address in await self.addresses(host)]
        return await start_connection(targets, happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS, interleave=1)

    async def close(self) -> None:
        """Give up the lookups that are under way."""
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
        """The answer's records; that there are none is an answer, too. Raises `DNSError` where none came."""
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
    """What is known of names, for one kind of record."""

    def __init__(self, kind: str, clock: Callable[[], float], look_up: Callable[[str], Awaitable[_Found[T]]]) -> None:
        self._kind = kind
        self._clock = clock
        self._look_up = look_up
        self._known: dict[str, _Known[T]] = {}
        self._lookups: dict[str, _Lookup[T]] = {}

    async def find(self, name: str) -> T:
        """What the name stands for. Raises `NameNotResolved`."""
        name = name.lower().rstrip(".")
        if not 0 < len(name) <= _MAX_NAME_LENGTH:
            raise NameNotResolved("a host's name is empty or too long")
        known = self._known.pop(name, None)
        if known is not None:
            self._known[name] = known  # used last
        value = known.value if known else None
        if known is None or self._clock() >= known.until:
            lookup = self._lookups.get(name) or self._begin(name)
            if lookup is not None and await self._wait(lookup, stale=value is not None):
                return lookup.task.result().value
        if value is None:
            raise NameNotResolved(f"the name {name} could not be resolved")
        return value

    async def close(self) -> None:
        """Give up the lookups that are under way."""
        tasks = [lookup.task for lookup in self._lookups.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str) -> _Lookup[T] | None:
        if len(self._lookups) >= MAX_LOOKUPS:
            return None
        task = asyncio.ensure_future(self._look_up(name))
        lookup = self._lookups[name] = _Lookup(task, self._clock())
        task.add_done_callback(lambda _: self._done(name, lookup))
        return lookup

    async def _wait(self, lookup: _Lookup[T], *, stale: bool) -> bool:
        """Wait for a lookup, no longer than it is worth; returns whether it has succeeded."""
        left = lookup.began + (STALE_PATIENCE_SECONDS if stale else LOOKUP_SECONDS) - self._clock()
        if not lookup.task.done() and left > 0:
            await asyncio.wait([lookup.task], timeout=left)
        return _succeeded(lookup.task)

    def _done(self, name: str, lookup: _Lookup[T]) -> None:
        del self._lookups[name]
        if lookup.task.cancelled():
            return
        before = self._known.pop(name, None)
        known = _Known(before.value if before else None, self._clock() + FAILED_SECONDS)
        if _succeeded(lookup.task):
            found = lookup.task.result()
            known = _Known(found.value, self._clock() + min(max(found.ttl, MIN_FRESH_SECONDS), MAX_FRESH_SECONDS))
        elif known.value is not None:
            extra = {"event": "name_stale", "host": name}
            logger.warning("no %s from DNS: the last one known is used", self._kind, extra=extra)
        self._known[name] = known
        if len(self._known) > MAX_NAMES:
            del self._known[self._least_needed()]

    def _least_needed(self) -> str:
        """A name that failed, else the one that was used the longest time ago."""
        oldest = next(iter(self._known))
        return next((name for name, known in self._known.items() if known.value is None), oldest)


class _System:
    """Asks the system on threads of its own, one for each name at most: getaddrinfo cannot be given up.

    They are daemons, so that none keeps the program from ending.
    """

    def __init__(self, look_up: SystemLookup) -> None:
        self._look_up = look_up
        self._busy: set[str] = set()

    async def find(self, name: str) -> Addresses:
        """Ask for a name. Raises what the system raises, or `NameNotResolved` where too many are asked for."""
        if len(self._busy) >= MAX_SYSTEM_THREADS:
            raise NameNotResolved(f"the name {name} could not be resolved: too many others are being looked up")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Addresses] = loop.create_future()
        self._busy.add(name)
        threading.Thread(target=self._run, args=(loop, name, found), name="getaddrinfo", daemon=True).start()
        return await found

    def _run(self, loop: asyncio.AbstractEventLoop, name: str, found: asyncio.Future[Addresses]) -> None:
        result: Addresses | Exception
        try:
            result = self._look_up(name)
        except (OSError, ValueError) as error:  # a name that cannot be encoded is one
            result = error
        with suppress(RuntimeError):  # of a loop that is closed
            loop.call_soon_threadsafe(self._done, name, found, result)

    def _done(self, name: str, found: asyncio.Future[Addresses], result: Addresses | Exception) -> None:
        self._busy.discard(name)
        if found.done():
            return
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)


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
