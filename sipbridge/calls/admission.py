"""Who gets in: trust, rate, drain, capacity, then the route. Runs on the SIP thread, for every new INVITE."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sipbridge.calls.model import Identity, Invite
from sipbridge.calls.routing import identify
from sipbridge.config import ClientConfig, Config, ProjectConfig
from sipbridge.errors import CapacityReached, Draining, RateExceeded, UntrustedSource

if TYPE_CHECKING:
    from sipbridge.calls.context import Surroundings

# Sources whose rate is remembered. A trunk has a few; more come from somebody who forges them.
_MAX_SOURCES = 10_000
# For so long after an INVITE was rejected by overload the next may be, too.
_LATELY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Admitted:
    """An INVITE that was admitted: who calls, for whom, under which configuration version."""

    version: Surroundings
    invite: Invite
    identity: Identity
    client_config: ClientConfig
    project_config: ProjectConfig


class Admission:
    """The door. `admit` and `trusts` belong to the SIP thread; the rest may be called from any."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._rates = SourceRates(config.sip.max_calls_per_second, clock)
        self._version: Surroundings | None = None
        # The version of each call that is up. A dict and not counters: each step is atomic between the threads.
        self._up: dict[str, Surroundings] = {}
        self.draining = False
        self._overloaded_at = -_LATELY_SECONDS
        # Whether calls in progress are being kept waiting; asked on the SIP thread, which sets it.
        self.overloaded: Callable[[], bool] = lambda: False
        # What the SIP stack lacks for another call with all its legs; asked on the SIP thread, which sets it.
        self.lack: Callable[[], str | None] = lambda: None
        self.trusts = lru_cache(maxsize=_MAX_SOURCES)(self._trusts)

    def use(self, version: Surroundings) -> None:
        """Admit under this configuration version from the next INVITE on. Before the first, none is admitted."""
        config = version.config
        per_second = config.sip.max_calls_per_second
        if per_second != self._config.sip.max_calls_per_second:
            self._rates = SourceRates(per_second, self._clock)
        self._config = config
        self.trusts = lru_cache(maxsize=_MAX_SOURCES)(self._trusts)
        self._version = version

    def versions_in_use(self) -> set[Surroundings]:
        """Return the versions under which calls that are up were admitted."""
        return set(list(self._up.values()))  # noqa: C414 (a list in one step, as the SIP thread may add to it)

    @property
    def active(self) -> int:
        """Calls that were let in and are not over."""
        return len(self._up)

    @property
    def full(self) -> bool:
        """Whether the next INVITE would be one too many."""
        return len(self._up) >= self._config.sip.max_calls

    @property
    def overloaded_lately(self) -> bool:
        """True if an INVITE has just been rejected since calls in progress are being kept waiting."""
        return self._clock() - self._overloaded_at < _LATELY_SECONDS

    def admit(self, invite: Invite) -> Admitted:
        """Let an INVITE in, in the contract's order. Raises the `InviteRefused` that it gets instead."""
        if not self.trusts(invite.source_address):
            raise UntrustedSource("the source is not in sip.trusted_sources")
        if not self._rates.take(invite.source_address):
            raise RateExceeded("the source is over sip.max_calls_per_second")
        if self.draining:
            raise Draining("the bridge is draining")
        if self.full:
            raise CapacityReached("sip.max_calls calls are up")
        if self.overloaded():
            self._overloaded_at = self._clock()
            raise CapacityReached("calls in progress are kept waiting")
        if lack := self.lack():
            raise CapacityReached(lack)
        while True:
            version = self._version
            if version is None:
                raise CapacityReached("starting")
            identity, client, project = identify(version.config, invite, secrets.token_hex(16))
            self._up[identity.call_id] = version
            if version is self._version:
                return Admitted(version, invite, identity, client, project)
            # Another was taken up in between, and may have found this one unused.
            self.release(identity.call_id)

    def release(self, call_id: str) -> None:
        """Give a call's place back; once or more often."""
        self._up.pop(call_id, None)

    def _trusts(self, source_address: str) -> bool:
        try:
            address = ipaddress.ip_address(source_address)
        except ValueError:
            return False
        return any(address in network for network in self._config.sip.trusted_sources)


class SourceRates:
    """A token bucket a source address: so many a second, and as many at once."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, source: str) -> bool:
        """Take one, if there is one."""
        now = self._clock()
        tokens, since = self._buckets.pop(source, (float(self._per_second), now))
        tokens = min(float(self._per_second), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        # Popped and put back: the first of the dict is the one that has been quiet longest.
        self._buckets[source] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > _MAX_SOURCES:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def give_back(self, source: str) -> None:
        """Undo a `take` that was let pass."""
        if source in self._buckets:
            tokens, since = self._buckets[source]
            self._buckets[source] = (min(tokens + 1, float(self._per_second)), since)
