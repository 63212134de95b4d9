"""The CXone API of one client, as calls use it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalNote, SignalResult
from sipbridge.calls.ports.observer import Observer
from sipbridge.config import CxoneConfig
from sipbridge.cxone.breaker import Breaker
from sipbridge.cxone.signal import Signaller
from sipbridge.cxone.tokens import TokenSource
from sipbridge.cxone.transcript import TranscriptPoster
from sipbridge.errors import CxoneError
from sipbridge.http import HttpClient

logger = logging.getLogger(__name__)


class CxoneClient:
    """A `ContactCentre`. Clients share the HTTP client, which the caller closes, and nothing else.

    `budget_seconds` limits the total time of a Signal, tokens and retries included, `transcript_seconds` that of a
    transcript. `clock` returns monotonic seconds; tokens and the breaker use it.
    """

    def __init__(
        self,
        client: str,
        config: CxoneConfig,
        http: HttpClient,
        observer: Observer,
        *,
        vendor_id: str = "sipbridge",
        budget_seconds: float = 3.0,
        transcript_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.tokens = TokenSource(client, config, http, observer, clock=clock)
        breaker = Breaker(client, clock=clock)
        self._signaller = Signaller(client, config, http, self.tokens, breaker, budget_seconds=budget_seconds)
        self._transcripts = TranscriptPoster(
            client,
            config,
            http,
            self.tokens,
            breaker,
            vendor_id=vendor_id,
            timeout_seconds=transcript_seconds,
        )

    async def warm_up(self) -> None:
        """Fetch a token, so that the first call need not wait for it. A failure is only logged."""
        try:
            await self.tokens.get()
        except CxoneError as error:
            extra = {"event": "cxone_not_ready", "client": self._client}
            logger.warning("CXone not usable yet: %s", error, extra=extra)

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script at most once, within the time budget. Never raises."""
        try:
            return await self._signaller.send(contact_id, parameters, note)
        except Exception:  # an internal error must not end the call
            extra = {"event": "cxone_signal_fault", "client": self._client, "contact_id": contact_id}
            logger.exception("internal error: unknown whether the Signal was sent", extra=extra)
            return SignalResult.UNKNOWN

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; return True if CXone accepted it. Never raises."""
        try:
            return await self._transcripts.post(record, escalated=escalated)
        except Exception:  # as above
            extra = {"event": "cxone_transcript_fault", "client": self._client, "contact_id": record.main_contact_id}
            logger.exception("internal error: unknown whether the transcript was posted", extra=extra)
            return False

    async def close(self) -> None:
        """Stop the background work. The HTTP client stays open: the caller closes it."""
        await self.tokens.close()
