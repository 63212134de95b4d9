"""The resolver of the process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

import aiodns
import pycares

from sipbridge.dns.cache import MIN_FRESH_SECONDS, Peer, RecordCache
from sipbridge.dns.connect import connect_first
from sipbridge.dns.records import Addresses, Found, Pointer, Service
from sipbridge.dns.system_lookup import SystemLookup, SystemLookups, ask_system
from sipbridge.errors import NameNotResolved

NO_RECORD_SECONDS = 60.0  # for a name without SRV or NAPTR records, which is usual
_SERVER_SECONDS = 2.0  # for c-ares to wait for one name server, and again for the next
_SERVER_TRIES = 2
_SERVICES_PER_NAME = 3  # a URI without a transport asks for UDP, TCP and TLS


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
        self._addresses = RecordCache("address", clock, self._look_up_addresses)
        self._services = RecordCache("service", clock, self._look_up_services, _SERVICES_PER_NAME)
        self._pointers = RecordCache("pointer", clock, self._look_up_pointers)
        self._system = SystemLookups(system)

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

    async def _look_up_addresses(self, name: str) -> Found[Addresses]:
        try:
            found = await self._cares().getaddrinfo(
                name, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except (aiodns.error.DNSError, UnicodeError):
            return Found(await self._system.find(name), MIN_FRESH_SECONDS)
        addresses = tuple(dict.fromkeys(_text(node.addr[0]) for node in found.nodes))
        if not addresses:
            raise NameNotResolved(f"the name {name} has no address")
        return Found(addresses, min(node.ttl for node in found.nodes))

    async def _records(self, name: str, kind: str) -> Sequence[pycares.DNSRecord]:
        """Return the records of a DNS answer, which may have none. Raises `DNSError` without an answer."""
        try:
            return (await self._cares().query_dns(name, kind)).answer
        except aiodns.error.DNSError as error:
            if error.args and error.args[0] in (aiodns.error.ARES_ENODATA, aiodns.error.ARES_ENOTFOUND):
                return ()
            raise

    async def _look_up_services(self, name: str) -> Found[tuple[Service, ...]]:
        records = await self._records(name, "SRV")
        found = [
            (Service(data.priority, data.weight, _text(data.target).rstrip("."), data.port), record.ttl)
            for record in records
            if isinstance(data := record.data, pycares.SRVRecordData)
        ]
        return Found(tuple(service for service, _ in found), min((ttl for _, ttl in found), default=NO_RECORD_SECONDS))

    async def _look_up_pointers(self, name: str) -> Found[tuple[Pointer, ...]]:
        records = await self._records(name, "NAPTR")
        found = [
            (
                Pointer(data.order, data.preference, _text(data.flags), _text(data.service), _text(data.replacement)),
                record.ttl,
            )
            for record in records
            if isinstance(data := record.data, pycares.NAPTRRecordData)
        ]
        return Found(tuple(pointer for pointer, _ in found), min((ttl for _, ttl in found), default=NO_RECORD_SECONDS))


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
