"""Admission of new INVITEs: source, rate, drain, capacity, then the route."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from sipbridge.calls.context import CallContext
from sipbridge.calls.model import Identity, Invite
from sipbridge.calls.ports.sip import Backpressure
from sipbridge.calls.routing import identify
from sipbridge.config import ClientConfig, Config, VoiceProjectConfig
from sipbridge.errors import CapacityReached, Draining, RateExceeded, UntrustedSource
from sipbridge.rate_limit import MAX_SOURCES, RateLimiter

# `overloaded_recently` is true for this long after an overload has rejected an INVITE.
_RECENT_SECONDS = 2.0
_CALL_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted INVITE: its caller, its client and project, and its configuration version."""

    version: CallContext
    invite: Invite
    identity: Identity
    client_config: ClientConfig
    project_config: VoiceProjectConfig


class Admission:
    """Admits or rejects new INVITEs, and implements `CallSlots`.

    `admit` runs on the SIP thread; the rest may run on any thread.
    """

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._rates = RateLimiter(config.sip.max_calls_per_second, clock)
        self._version: CallContext | None = None
        # The version of each call in progress. A dict rather than counters: each step is atomic between threads.
        self._active: dict[str, CallContext] = {}
        self._call_ids = _make_call_ids()
        self.draining = False
        # Why the cluster takes no new calls at the moment.
        self.withheld: str | None = None
        self._overloaded_at = -_RECENT_SECONDS
        self._forget_sources()

    def use(self, version: CallContext) -> None:
        """Admit under this configuration version from the next INVITE on. Before the first, none is admitted."""
        config = version.config
        per_second = config.sip.max_calls_per_second
        if per_second != self._config.sip.max_calls_per_second:
            self._rates = RateLimiter(per_second, self._clock)
        self._config = config
        self._forget_sources()
        self._version = version

    def versions_in_use(self) -> set[CallContext]:
        """Return the versions under which calls in progress were admitted."""
        return set(list(self._active.values()))  # noqa: C414 (a list in one step, as the SIP thread may add to it)

    @property
    def active(self) -> int:
        """The number of calls that were admitted and have not ended."""
        return len(self._active)

    @property
    def full(self) -> bool:
        """True if `max_calls` calls are in progress."""
        return len(self._active) >= self._config.sip.max_calls

    @property
    def overloaded_recently(self) -> bool:
        """True if an overload has rejected an INVITE within the last 2 s."""
        return self._clock() - self._overloaded_at < _RECENT_SECONDS

    def admit(self, invite: Invite, load: Backpressure) -> Admitted:
        """Admit an INVITE, checked in the contract's order. Raises the `InviteRefused` that rejects it."""
        if not self.trusts(invite.source_address):
            raise UntrustedSource("the source is not in sip.trusted_sources")
        if not self._rates.allows(invite.source_address):
            raise RateExceeded("the source is over sip.max_calls_per_second")
        if self.draining:
            raise Draining("the bridge is draining")
        if self.full:
            raise CapacityReached("sip.max_calls calls are in progress")
        if load.overloaded():
            self._overloaded_at = self._clock()
            raise CapacityReached("calls in progress have to wait")
        if shortage := self.withheld or load.shortage():
            raise CapacityReached(shortage)
        while True:
            version = self._version
            if version is None:
                raise CapacityReached("starting")
            identity, client, project = identify(version.config, invite, next(self._call_ids))
            self._active[identity.call_id] = version
            if version is self._version:
                return Admitted(version, invite, identity, client, project)
            # Another version replaced this one meanwhile, and may have found it unused.
            self.release(identity.call_id)

    def trusts(self, source_address: str) -> bool:
        """True if the address is in `sip.trusted_sources` of the version in use."""
        return self._is_trusted(source_address)

    def release(self, call_id: str) -> None:
        """Free the slot of a call. May be called more than once."""
        self._active.pop(call_id, None)

    def _forget_sources(self) -> None:
        self._is_trusted = lru_cache(maxsize=MAX_SOURCES)(self._find_trust)

    def _find_trust(self, source_address: str) -> bool:
        try:
            address = ipaddress.ip_address(source_address)
        except ValueError:
            return False
        return any(address in network for network in self._config.sip.trusted_sources)


def _make_call_ids() -> Iterator[str]:
    """Yield random ids without end. os.urandom releases the GIL, so the bytes of many are read at once."""
    while True:
        random = os.urandom(256 * _CALL_ID_BYTES)
        for start in range(0, len(random), _CALL_ID_BYTES):
            yield random[start : start + _CALL_ID_BYTES].hex()
