"""The names that PJSIP asks for, and those of the URIs that we call. Everything here runs on the event loop."""

from __future__ import annotations

from functools import partial

from sipbridge.aio import BackgroundTasks
from sipbridge.dns import Resolver
from sipbridge.errors import DialFailed, NameNotResolved
from sipbridge.sip.pjsip_functions import ResolverFunctions
from sipbridge.sip.targets import Hop, Locator, Target
from sipbridge.sip.thread import SipThread
from sipbridge.telephony.sip_status import SipStatus
from sipbridge.telephony.sip_uri import SipUri

# Names of peers that are looked up before they are needed, at a time; others are looked up when they are.
_MAX_EXPECTED = 50


class Lookups:
    """Asks the resolver for PJSIP (native/resolver.hpp and name_table.hpp)."""

    def __init__(self, resolver: Resolver, locator: Locator, thread: SipThread, native: ResolverFunctions) -> None:
        self._resolver = resolver
        self._locator = locator
        self._thread = thread
        self._native = native
        self._lookups = BackgroundTasks()
        self._expected: set[str] = set()

    async def locate(self, uri: str) -> list[Target]:
        """Where to call a SIP URI, best first. Raises `DialFailed`."""
        host, port, transport = SipUri.parse(uri).next_hop
        try:
            return await self._locator.find(Hop(host, port, transport))
        except NameNotResolved as error:
            raise DialFailed(SipStatus.BAD_GATEWAY, str(error)) from None

    def find_targets(self, number: int, port: int, text: str) -> None:
        """Answer an EventResolve: a request waits for it."""
        transport, _, host = text.partition("\n")
        self._lookups.start(self._find_targets(number, Hop(host, port, transport.lower())))

    def find_addresses(self, name: str) -> None:
        """Answer an EventName: SDP named a host; it is known the next time."""
        self._lookups.start(self._find_addresses(name))

    def expect(self, name: str) -> None:
        """Look up a name that requests of ours will go to, so that its address is known if DNS fails by then."""
        if name not in self._expected and len(self._expected) < _MAX_EXPECTED:
            self._expected.add(name)
            self._lookups.start(self._look_up_expected(name))

    def close(self) -> None:
        """Answer no more."""
        self._lookups.cancel()

    async def _find_targets(self, number: int, hop: Hop) -> None:
        targets: list[str] = []
        try:
            targets = [str(target) for target in await self._locator.find(hop)]
        except NameNotResolved:
            pass
        finally:
            self._thread.post(partial(self._native.resolved, number, targets))

    async def _find_addresses(self, name: str) -> None:
        addresses: list[str] = []
        try:
            addresses = list(await self._resolver.addresses(name))
        except NameNotResolved:
            pass
        finally:
            self._native.learnName(name, addresses)

    async def _look_up_expected(self, name: str) -> None:
        try:
            await self._resolver.addresses(name)
        except NameNotResolved:
            pass  # the request that needs it will say so
        finally:
            self._expected.discard(name)
