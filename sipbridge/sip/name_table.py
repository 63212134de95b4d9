"""Host names that PJSIP needs, and those of the URIs that we call. Everything here runs on the event loop."""

from __future__ import annotations

from functools import partial

from sipbridge.aio import BackgroundTasks
from sipbridge.dns import Peer, Resolver
from sipbridge.errors import DialFailed, NameNotResolved
from sipbridge.sip.pjsip_functions import ResolverFunctions
from sipbridge.sip.targets import Hop, Locator, Target
from sipbridge.sip.thread import SipThread
from sipbridge.telephony.sip_status import SipStatus
from sipbridge.telephony.sip_uri import SipUri


class Lookups:
    """The lookups of names for PJSIP (native/resolver.hpp and native/name_table.hpp).

    The names that peers write share the lookups of peers; the names of the configuration never wait for them. Only
    `locate` looks up host names of the configuration.
    """

    def __init__(self, resolver: Resolver, locator: Locator, thread: SipThread, native: ResolverFunctions) -> None:
        self._resolver = resolver
        self._locator = locator
        self._thread = thread
        self._native = native
        self._lookups = BackgroundTasks()
        self._expected: set[str] = set()

    async def locate(self, uri: str, redirected_by: str = "") -> list[Target]:
        """Return the targets of a SIP URI, best first. Raises `DialFailed`.

        The URI is in the configuration, or in the 3xx of the target `redirected_by`.
        """
        host, port, transport = SipUri.parse(uri).next_hop
        # The dialog of a 3xx is over; the lookups for its URI share the limit of one.
        peer = Peer(redirected_by, uri) if redirected_by else None
        try:
            return await self._locator.find(Hop(host, port, transport, peer))
        except NameNotResolved as error:
            raise DialFailed(SipStatus.BAD_GATEWAY, str(error)) from None

    def find_targets(self, number: int, port: int, text: str) -> None:
        """Resolve the host of an EventResolve, for which a message waits."""
        transport, host, far_end, dialog = text.split("\n")
        hop = Hop(host, port, transport.lower(), _peer(far_end, dialog))
        self._lookups.start(self._find_targets(number, hop))

    def find_addresses(self, text: str) -> None:
        """Resolve the name of an EventName, so that the name table has it the next time."""
        name, far_end, dialog = text.split("\n")
        # It has no author if it is the host of a URI that we call: `locate` has looked that up already.
        self._lookups.start(self._find_addresses(name, _peer(far_end, dialog)))

    def expect(self, name: str, peer: Peer) -> None:
        """Look up a name to which requests of ours will go, so that its address is known if DNS fails by then."""
        if name not in self._expected:
            self._expected.add(name)
            self._lookups.start(self._look_up_expected(name, peer))

    def close(self) -> None:
        """Cancel the lookups in progress."""
        self._lookups.cancel()

    async def _find_targets(self, number: int, hop: Hop) -> None:
        targets: list[str] = []
        try:
            targets = [str(target) for target in await self._locator.find(hop)]
        except NameNotResolved:
            pass
        finally:
            self._thread.post(partial(self._native.resolved, number, targets))

    async def _find_addresses(self, name: str, peer: Peer) -> None:
        addresses: list[str] = []
        try:
            addresses = list(await self._resolver.addresses(name, peer))
        except NameNotResolved:
            pass
        finally:
            self._native.learnName(name, addresses)

    async def _look_up_expected(self, name: str, peer: Peer) -> None:
        try:
            await self._resolver.addresses(name, peer)
        except NameNotResolved:
            pass  # the request that needs it fails with the reason
        finally:
            self._expected.discard(name)


def _peer(far_end: str, dialog: str) -> Peer:
    """Return the author of a name. A dialog whose far end is not known has a share of its own."""
    return Peer(far_end or dialog, dialog)
