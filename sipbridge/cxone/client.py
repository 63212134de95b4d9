"""CXone of one client, as calls see it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports import Observer, SignalNote, SignalResult
from sipbridge.config import CxoneConfig
from sipbridge.cxone.breaker import Breaker
from sipbridge.cxone.http.client import HttpClient
from sipbridge.cxone.signal import Signaller
from sipbridge.cxone.tokens import TokenSource
from sipbridge.cxone.transcript import TranscriptPoster
from sipbridge.errors import CxoneError

logger = logging.getLogger(__name__)


class CxoneClient:
    """A `ContactCentre`. The HTTP client is shared by all of the bridge's and stays its maker's; nothing else is.

    `budget_seconds` is the most that a Signal takes in all, tokens and repeats included, `transcript_seconds` the same
    of a transcript. `clock` is monotonic and in seconds; it times tokens and the breaker.
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
        self._tokens = TokenSource(client, config, http, observer, clock=clock)
        breaker = Breaker(client, clock=clock)
        self._signaller = Signaller(client, config, http, self._tokens, breaker, budget_seconds=budget_seconds)
        self._transcripts = TranscriptPoster(
            client,
            config,
            http,
            self._tokens,
            breaker,
            vendor_id=vendor_id,
            timeout_seconds=transcript_seconds,
        )

    async def warm_up(self) -> None:
        """Fetch a token and what it takes, so that the first call need not wait; a failure is logged and no more."""
        try:
            await self._tokens.get()
        except CxoneError as error:
            extra = {"event": "cxone_not_ready", "client": self._client}
            logger.warning("CXone cannot be used yet: %s", error, extra=extra)

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script, at most once, within the time budget. Never raises."""
        try:
            return await self._signaller.send(contact_id, parameters, note)
        except Exception:  # a fault of ours must not cost the caller the call
            extra = {"event": "cxone_signal_fault", "client": self._client, "contact_id": contact_id}
            logger.exception("Signal not known to have been sent", extra=extra)
            return SignalResult.UNKNOWN

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; true where CXone took it. Never raises."""
        try:
            return await self._transcripts.post(record, escalated=escalated)
        except Exception:  # the same
            extra = {"event": "cxone_transcript_fault", "client": self._client, "contact_id": record.main_contact_id}
            logger.exception("transcript not known to have been posted", extra=extra)
            return False

    async def close(self) -> None:
        """Stop what goes on by itself. The HTTP client stays open: it is its maker's."""
        await self._tokens.close()
