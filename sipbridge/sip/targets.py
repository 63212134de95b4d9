"""The targets of a SIP URI: transport, address and port, in the order in which to try them (RFC 3263)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from sipbridge.dns import Peer, Resolver, Service
from sipbridge.errors import NameNotResolved

# Targets that are tried for one URI; a call has no time for more.
MAX_TARGETS = 8
# For NAPTR and SRV: most names have no such records, and some name servers do not respond to the query.
_RECORD_SECONDS = 1.0
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
# In order of preference.
_SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_POINTERS: Mapping[str, str] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}


@dataclass(frozen=True, slots=True)
class Target:
    """One destination of a request."""

    transport: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hop:
    """The next hop in a URI, a Route or a Via: `port` is 0 and `transport` empty if it names none.

    `peer` is its author, None if it is in the configuration.
    """

    host: str
    port: int = 0
    transport: str = ""
    peer: Peer | None = None


class Locator:
    """Finds targets. `transports` are those that the bridge listens on, and can send over."""

    def __init__(self, resolver: Resolver, transports: Collection[str]) -> None:
        self._resolver = resolver
        self._transports = [transport for transport in _SERVICES if transport in transports]

    async def find(self, hop: Hop) -> list[Target]:
        """Return the targets, best first. Raises `NameNotResolved`."""
        if hop.transport and hop.transport not in self._transports:
            raise NameNotResolved(f"{hop.host} is called over {hop.transport}, on which sip.listen has no address")
        named = not hop.port and "." in hop.host.rstrip(".") and not _is_address(hop.host)
        if named and (found := await self._of_services(hop)):
            return found[:MAX_TARGETS]
        transport = hop.transport or "udp"
        port = hop.port or _DEFAULT_PORTS[transport]
        return (await self._of_host(hop.host, transport, port, hop.peer))[:MAX_TARGETS]

    async def _of_services(self, hop: Hop) -> list[Target]:
        """Return the targets of the SRV records, none if there are no records. Raises `NameNotResolved`."""
        records: list[tuple[str, Service]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECORD_SECONDS):
                names = await self._service_names(hop)
                found = await asyncio.gather(*(self._services(name, hop.peer) for _, name in names))
                for (transport, _), services in zip(names, found, strict=True):
                    records += [(transport, service) for service in in_order(services)]
        hosts = [
            self._of_host(service.host, transport, service.port, hop.peer)
            for transport, service in records[:MAX_TARGETS]
        ]
        targets = [
            target
            for each in await asyncio.gather(*hosts, return_exceptions=True)
            if not isinstance(each, BaseException)
            for target in each
        ]
        if records and not targets:
            raise NameNotResolved(f"no host in the SRV records of {hop.host} has an address")
        return targets

    async def _service_names(self, hop: Hop) -> list[tuple[str, str]]:
        """Return transports and the names of their SRV records: those in NAPTR records, else the usual names."""
        if hop.transport:
            return [(hop.transport, f"{_SERVICES[hop.transport]}.{hop.host}")]
        pointers = []
        with suppress(NameNotResolved):
            found = await self._resolver.pointers(hop.host, hop.peer)
            pointers = sorted(found, key=lambda one: (one.order, one.preference))
        named = [
            (transport, pointer.replacement)
            for pointer in pointers
            if pointer.flags.lower() == "s"
            and (transport := _POINTERS.get(pointer.service.lower())) in self._transports
            and transport is not None
        ]
        return named or [(transport, f"{_SERVICES[transport]}.{hop.host}") for transport in self._transports]

    async def _services(self, name: str, peer: Peer | None) -> tuple[Service, ...]:
        with suppress(NameNotResolved):
            return await self._resolver.services(name, peer)
        return ()

    async def _of_host(self, host: str, transport: str, port: int, peer: Peer | None) -> list[Target]:
        if not host:  # an SRV record that says that there is no such service (RFC 2782)
            raise NameNotResolved("the service is not offered")
        addresses = [address for address in await self._resolver.addresses(host, peer) if _is_address(address)]
        if not addresses:
            raise NameNotResolved(f"the name {host} has no IPv4 address")
        return [Target(transport, address, port) for address in addresses]


def in_order(services: Iterable[Service]) -> Iterator[Service]:
    """Sort by priority; among equals at random, by weight (RFC 2782)."""
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    while left:
        equals = [service for service in left if service.priority == left[0].priority]
        chosen = random.choices(equals, [service.weight or 0.01 for service in equals])[0]  # noqa: S311 (spreads load)
        left.remove(chosen)
        yield chosen


def _is_address(host: str) -> bool:
    """True if it is an IPv4 address: PJSIP is built for those."""
    with suppress(ValueError):
        IPv4Address(host)
        return True
    return False
