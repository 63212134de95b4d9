"""Addresses of CXone's hosts. No lookup occupies a thread, and one that hangs holds up nobody who has an address."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeAlias

import aiodns
from aiohappyeyeballs import AddrInfoType

from sipbridge.errors import CxoneNotReached

Addresses: TypeAlias = list[AddrInfoType]

_FRESH_SECONDS = 60.0
_PATIENCE_SECONDS = 0.5  # for a lookup, where there is an address from an earlier one

logger = logging.getLogger(__name__)


class Names:
    """Resolves names, and remembers.

    An answer is good for a minute. After that the name is asked for anew, and where nothing comes in half a second or
    the lookup fails, what it last stood for is used (as RFC 8767 has it, "serve stale"): a resolver that is down need
    not stop handoffs to a CXone that is up. However many ask for a name at once, there is one lookup; it goes on when
    who asked gives up. c-ares does it, which needs no thread for each: getaddrinfo has four under uvloop, two of them
    for names, so that two names that hang would hold up all others.
    """

    def __init__(self, clock: Callable[[], float], resolver: aiodns.DNSResolver | None = None) -> None:
        self._clock = clock
        self._resolver = resolver
        self._known: dict[str, tuple[Addresses, float]] = {}
        self._lookups: dict[str, asyncio.Task[Addresses]] = {}

    async def addresses(self, host: str, port: int) -> Addresses:
        """What to connect to, best first. Raises `CxoneNotReached`."""
        try:
            family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004 (IPv6)
        except ValueError:
            return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in await self._of_name(host)]
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]

    async def close(self) -> None:
        """Give up the lookups that are under way."""
        for lookup in self._lookups.values():
            lookup.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)
        if self._resolver is not None:
            await self._resolver.close()

    async def _of_name(self, host: str) -> Addresses:
        addresses, asked_at = self._known.get(host, ([], 0.0))
        if addresses and self._clock() - asked_at < _FRESH_SECONDS:
            return addresses
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.create_task(self._look_up(host), name=f"lookup of {host}")
            lookup.add_done_callback(lambda done: self._looked_up(host, done))
        await asyncio.wait([lookup], timeout=_PATIENCE_SECONDS if addresses else None)
        if lookup.done() and not lookup.cancelled() and lookup.exception() is None:
            return lookup.result()
        if not addresses:
            raise CxoneNotReached(f"the name {host} could not be resolved")
        extra = {"event": "cxone_name_stale", "host": host}
        logger.warning("no address from DNS: the last one known is used", extra=extra)
        return addresses

    async def _look_up(self, host: str) -> Addresses:
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver()
        found = await self._resolver.getaddrinfo(
            host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        return [
            (node.family, node.socktype, node.protocol, "", (_text(node.addr[0]), *node.addr[1:]))
            for node in found.nodes
        ]

    def _looked_up(self, host: str, lookup: asyncio.Task[Addresses]) -> None:
        del self._lookups[host]
        if not lookup.cancelled() and lookup.exception() is None and lookup.result():
            self._known[host] = (lookup.result(), self._clock())


def _text(address: str | bytes) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address
