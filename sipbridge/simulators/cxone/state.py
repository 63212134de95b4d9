"""The state of the simulator: issued tokens, received requests, queued faults."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sipbridge.simulators.cxone.models import Endpoint, Fault, ParameterName, Tenant

MAX_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """An accepted Signal."""

    contact_id: str
    parameters: dict[ParameterName, str]
    received_in: Literal["body", "query"]
    tenant: str
    version: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return the form that `GET /simulator/signals` shows."""
        return {
            "contact_id": self.contact_id,
            "parameters": self.parameters,
            "in": self.received_in,
            "tenant": self.tenant,
            "version": self.version,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True)
class TranscriptRecord:
    """An accepted transcript, as it was posted."""

    contact_id: str
    body: dict[str, Any]
    tenant: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return the form that `GET /simulator/transcripts` shows."""
        return {"contact_id": self.contact_id, "tenant": self.tenant, "at": self.at, "body": self.body}


@dataclass(slots=True)
class _Waiter:
    """A request that waits for `missing` more Signals."""

    contact_id: str | None
    missing: int
    done: asyncio.Event = field(default_factory=asyncio.Event)


class State:
    """The whole state. It belongs to one event loop; only `wait_for_signals` awaits.

    `announce` gets a line of text per token, Signal, transcript and rejected request.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant],
        *,
        token_seconds: int,
        clock: Callable[[], float] = time.monotonic,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.tenants = tuple(tenants)
        self.token_seconds = token_seconds
        self.announce = announce
        self.signing_key = secrets.token_bytes(32)
        self._clock = clock
        self._tokens: dict[str, tuple[Tenant, float]] = {}
        self._signals: deque[SignalRecord] = deque(maxlen=MAX_RECORDS)
        self._transcripts: deque[TranscriptRecord] = deque(maxlen=MAX_RECORDS)
        self._requests: defaultdict[Endpoint, Counter[str]] = defaultdict(Counter)
        self._faults: list[Fault] = []
        self._waiters: list[_Waiter] = []

    def issue_token(self, tenant: Tenant) -> str:
        """Issue an access token that is valid for `token_seconds`."""
        now = self._clock()
        self._tokens = {token: issued for token, issued in self._tokens.items() if issued[1] > now}
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (tenant, now + self.token_seconds)
        self.announce(f"token for access key {tenant.access_key_id}, for {self.token_seconds} s")
        return token

    def tenant_of(self, token: str) -> Tenant | None:
        """Return the tenant of a token while it is valid."""
        tenant, expires_at = self._tokens.get(token, (None, 0.0))
        return tenant if self._clock() < expires_at else None

    def add_signal(self, record: SignalRecord) -> None:
        """Record a Signal and wake the requests that wait for it."""
        self._signals.append(record)
        # As JSON, since a value may contain blanks, quotes or control characters.
        given = " ".join(f"{name}={json.dumps(value)}" for name, value in record.parameters.items())
        self.announce(f"Signal for contact {record.contact_id}: {given or 'no parameters'}")
        for waiter in self._waiters:
            if waiter.contact_id in (None, record.contact_id):
                waiter.missing -= 1
                if waiter.missing <= 0:
                    waiter.done.set()

    def signals(self, contact_id: str | None = None) -> list[SignalRecord]:
        """Return the received Signals of one contact or of all, oldest first."""
        return [record for record in self._signals if contact_id in (None, record.contact_id)]

    async def wait_for_signals(self, count: int, contact_id: str | None, timeout_seconds: float) -> None:
        """Wait until that many Signals have arrived, or the time is over."""
        waiter = _Waiter(contact_id, count - len(self.signals(contact_id)))
        if waiter.missing <= 0:
            return
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter.done.wait()
        except TimeoutError:
            return
        finally:
            self._waiters.remove(waiter)

    def clear_signals(self) -> None:
        """Delete the Signals."""
        self._signals.clear()

    def add_transcript(self, contact_id: str, body: dict[str, Any], tenant: Tenant) -> None:
        """Record a transcript."""
        self.announce(f"transcript for contact {contact_id}")
        self._transcripts.append(TranscriptRecord(contact_id, body, tenant.tenant_id, datetime.now(UTC)))

    def transcripts(self, contact_id: str | None = None) -> list[TranscriptRecord]:
        """Return the received transcripts of one contact or of all, oldest first."""
        return [record for record in self._transcripts if contact_id in (None, record.contact_id)]

    def count(self, endpoint: Endpoint, response: str) -> None:
        """Count a request by its response: a status, `reset` or `cut`."""
        self._requests[endpoint][response] += 1

    def requests(self) -> dict[str, dict[str, int]]:
        """Return how often each endpoint gave each response."""
        return {endpoint.value: dict(responses) for endpoint, responses in self._requests.items()}

    def add_fault(self, fault: Fault) -> None:
        """Queue a fault behind those of its endpoint."""
        self._faults.append(fault)

    def faults(self) -> list[Fault]:
        """Return the queued faults, each with its remaining times."""
        return list(self._faults)

    def clear_faults(self) -> None:
        """Delete the queued faults."""
        self._faults.clear()

    def expects_fault(self, endpoint: Endpoint) -> bool:
        """True if a fault of that endpoint is queued."""
        return any(fault.endpoint is endpoint for fault in self._faults)

    def next_fault(self, endpoint: Endpoint, contact_id: str | None) -> Fault | None:
        """Return the fault of this request, if any, and reduce its remaining times by one."""
        for index, fault in enumerate(self._faults):
            if fault.endpoint is endpoint and fault.contact_id in (None, contact_id):
                if fault.times == 1:
                    del self._faults[index]
                elif fault.times is not None:
                    self._faults[index] = fault.model_copy(update={"times": fault.times - 1})
                if fault.expire_tokens:
                    self._tokens.clear()
                return fault
        return None

    def clear(self) -> None:
        """Delete requests, records and faults. Tokens stay valid, so that their users are not affected."""
        self._signals.clear()
        self._transcripts.clear()
        self._requests.clear()
        self._faults.clear()
