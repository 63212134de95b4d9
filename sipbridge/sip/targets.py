"""Where the requests to a SIP URI go: transport, address and port, in the order in which to try them (RFC 3263)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from sipbridge.dns import Resolver, Service
from sipbridge.errors import NameNotResolved

# Places that are tried for one URI, at most; a call has not the time for more.
MAX_TARGETS = 8
# For NAPTR and SRV, which most names have none of, and for which some name servers do not respond.
_RECORD_SECONDS = 1.0
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
# In the order of a client that has no wish of its own.
_SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_POINTERS: Mapping[str, str] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send a request to."""

    transport: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hop:
    """What a URI, a Route or a Via says of the next hop: `port` is 0 and `transport` empty where it says nothing."""

    host: str
    port: int = 0
    transport: str = ""


class Locator:
    """Finds targets. `transports` are those that the bridge listens on, and so can send over."""

    def __init__(self, resolver: Resolver, transports: Collection[str]) -> None:
        self._resolver = resolver
        self._transports = [transport for transport in _SERVICES if transport in transports]

    async def find(self, hop: Hop) -> list[Target]:
        """The targets, best first. Raises `NameNotResolved`."""
        if hop.transport and hop.transport not in self._transports:
            raise NameNotResolved(f"{hop.host} is called over {hop.transport}, on which sip.listen has no address")
        named = not hop.port and "." in hop.host.rstrip(".") and not _is_address(hop.host)
        if named and (found := await self._of_services(hop)):
            return found[:MAX_TARGETS]
        transport = hop.transport or "udp"
        return (await self._of_host(hop.host, transport, hop.port or _DEFAULT_PORTS[transport]))[:MAX_TARGETS]

    async def _of_services(self, hop: Hop) -> list[Target]:
        """The targets of the SRV records, none where there are no records. Raises `NameNotResolved`."""
        records: list[tuple[str, Service]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECORD_SECONDS):
                names = await self._service_names(hop)
                found = await asyncio.gather(*(self._services(name) for _, name in names))
                for (transport, _), services in zip(names, found, strict=True):
                    records += [(transport, service) for service in in_order(services)]
        hosts = [self._of_host(service.host, transport, service.port) for transport, service in records[:MAX_TARGETS]]
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
        """Transports and the names of their SRV records: those that NAPTR names, else those that there may be."""
        if hop.transport:
            return [(hop.transport, f"{_SERVICES[hop.transport]}.{hop.host}")]
        pointers = []
        with suppress(NameNotResolved):
            pointers = sorted(await self._resolver.pointers(hop.host), key=lambda one: (one.order, one.preference))
        named = [
            (transport, pointer.replacement)
            for pointer in pointers
            if pointer.flags.lower() == "s"
            and (transport := _POINTERS.get(pointer.service.lower())) in self._transports
            and transport is not None
        ]
        return named or [(transport, f"{_SERVICES[transport]}.{hop.host}") for transport in self._transports]

    async def _services(self, name: str) -> tuple[Service, ...]:
        with suppress(NameNotResolved):
            return await self._resolver.services(name)
        return ()

    async def _of_host(self, host: str, transport: str, port: int) -> list[Target]:
        if not host:  # of an SRV record that says that there is no such service (RFC 2782)
            raise NameNotResolved("the service is not offered")
        addresses = [address for address in await self._resolver.addresses(host) if _is_address(address)]
        if not addresses:
            raise NameNotResolved(f"the name {host} has no IPv4 address")
        return [Target(transport, address, port) for address in addresses]


def in_order(services: Iterable[Service]) -> Iterator[Service]:
    """By priority; among equals at random, by weight (RFC 2782)."""
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
