"""The Signal: one POST that resumes the contact's Studio script. It is repeated only if it cannot have arrived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode

import orjson

from sipbridge.calls.ports.cxone import SignalNote, SignalResult, SignalStopped
from sipbridge.config import CxoneConfig
from sipbridge.cxone.breaker import Breaker
from sipbridge.cxone.tokens import Access, TokenSource
from sipbridge.errors import CxoneError, HttpError, HttpNotReached
from sipbridge.http import Announcement, HttpClient, Response
from sipbridge.telephony.contact_id import NO_CONTACT

_BACKOFF_SECONDS = 0.2  # doubled with each attempt
_MIN_ATTEMPT_SECONDS = 0.25  # with less time left, an attempt would probably end as unknown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The result of one attempt, and the `detail` for the log.

    `retry_after` is the minimum pause before another attempt, in seconds. `refused_access` is the access that CXone
    refused; an attempt with a new one may succeed. If both are None, the Signal must not be sent again.
    """

    result: SignalResult
    detail: str
    retry_after: float | None = None
    refused_access: Access | None = None


_HELD_BACK = _Attempt(SignalResult.UNDELIVERED, "held back, as CXone does not respond")
_NO_TIME_LEFT = _Attempt(SignalResult.UNDELIVERED, "no time left")
_ACCEPTED = (200, 202, 204)  # NICE's specification has 202; CXone sends the others too, with the same meaning
_TOKEN_REFUSED = (401, 403)
_BUSY = (429, 503)
# Only these show that CXone is unavailable. One script can cause a 500; a 502 or 504 comes from a gateway.
_UNAVAILABLE = (429, 502, 503, 504)


class Signaller:
    """The Signals of one client.

    Source: `POST /interactions/{contactId}/signal` of NICE's published API. It has no idempotency key, and two Signals
    start the script's ONSIGNAL twice. So a Signal is repeated only if there was no connection, after 401 or 403 with a
    new token (once), and after 429 or 503; always within what is left of `budget_seconds`, which includes the token.
    """

    def __init__(
        self,
        client: str,
        config: CxoneConfig,
        http: HttpClient,
        tokens: TokenSource,
        breaker: Breaker,
        *,
        budget_seconds: float,
    ) -> None:
        self._client = client
        self._http = http
        self._tokens = tokens
        self._breaker = breaker
        self._budget = budget_seconds
        self._path = f"/inContactAPI/services/{config.api_version}/interactions/"
        self._in_query = config.parameters_in == "query"

    async def send(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script within the budget. For `note` see `ContactCentre`."""
        contact_id = contact_id.strip()
        if not contact_id or contact_id == NO_CONTACT:
            attempt = _Attempt(SignalResult.UNDELIVERED, "no such contact")
        else:
            attempt = await self._deliver(*self._request(contact_id, parameters), note)
        extra = {"event": "cxone_signal", "client": self._client, "contact_id": contact_id}
        level = logging.DEBUG if attempt.result is SignalResult.ACCEPTED else logging.WARNING
        logger.log(level, "Signal %s: %s", attempt.result.value, attempt.detail, extra=extra)
        return attempt.result

    async def _deliver(self, path: str, body: bytes, note: SignalNote) -> _Attempt:
        deadline = asyncio.get_running_loop().time() + self._budget
        backoff = _BACKOFF_SECONDS
        token_was_refused = False
        while self._breaker.admits():
            attempt = await self._attempt(path, body, deadline, note)
            if attempt.refused_access is not None and not token_was_refused:
                token_was_refused = True
                self._tokens.drop(attempt.refused_access)
                await note(SignalResult.UNDELIVERED)
                continue
            if attempt.retry_after is None:
                return attempt
            pause = max(backoff, attempt.retry_after)
            backoff *= 2
            if self._breaker.is_open or self._seconds_until(deadline - pause) is None:
                return attempt
            await note(SignalResult.UNDELIVERED)
            await asyncio.sleep(pause)
        return _HELD_BACK

    def _request(self, contact_id: str, parameters: Mapping[str, str]) -> tuple[str, bytes]:
        """Return the path with its query, and the body. A lone surrogate, which has no UTF-8 form, becomes a `?`."""
        texts = {name: text.encode(errors="replace").decode() for name, text in parameters.items()}
        path = f"{self._path}{quote(contact_id, safe='')}/signal"
        if not self._in_query:
            return path, orjson.dumps(texts)
        return (f"{path}?{urlencode(texts, quote_via=quote, safe='')}" if texts else path), b""

    async def _token_before(self, deadline: float) -> Access:
        async with asyncio.timeout_at(deadline):
            return await self._tokens.get()

    def _seconds_until(self, deadline: float) -> float | None:
        """Return the time for an attempt that starts now, or None if too little is left."""
        left = deadline - asyncio.get_running_loop().time()
        return left if left >= min(_MIN_ATTEMPT_SECONDS, self._budget / 2) else None

    async def _attempt(self, path: str, body: bytes, deadline: float, note: SignalNote) -> _Attempt:
        """Send the Signal once."""
        try:
            access = self._tokens.current() or await self._token_before(deadline)
        except (CxoneError, TimeoutError):
            self._breaker.record_failure()
            return _Attempt(SignalResult.UNDELIVERED, "no access token")
        seconds = self._seconds_until(deadline)
        if seconds is None:
            return _NO_TIME_LEFT
        headers = access.json_headers if body else access.headers
        try:
            announcement = Announcement(partial(note, SignalResult.UNKNOWN), partial(note, SignalResult.UNDELIVERED))
            response = await self._http.post_for_head(access.api_url, path, headers, body, seconds, announcement)
        except SignalStopped as stopped:
            return _Attempt(stopped.result, str(stopped))
        except HttpNotReached as error:
            self._breaker.record_failure()
            return _Attempt(SignalResult.UNDELIVERED, str(error), retry_after=0.0)
        except HttpError as error:
            # CXone may also have closed a pooled connection at that moment, with the request read or unread.
            self._breaker.record_failure()
            return _Attempt(SignalResult.UNKNOWN, str(error))
        return self._classify(response, access)

    def _classify(self, response: Response, access: Access) -> _Attempt:
        """Interpret a status: 3xx and 4xx refuse; other 2xx and 5xx leave open if the script got the Signal."""
        status = response.status
        retry_after = response.retry_after or 0.0
        if status in _UNAVAILABLE:
            self._breaker.record_failure(retry_after)
        else:
            self._breaker.record_response()
        if status in _ACCEPTED:
            # The API sends no HTML: that comes from a portal or a gateway.
            if response.is_html:
                return _Attempt(SignalResult.UNKNOWN, f"{status} with HTML")
            return _Attempt(SignalResult.ACCEPTED, str(status))
        if status in _TOKEN_REFUSED:
            return _Attempt(SignalResult.REFUSED, str(status), refused_access=access)
        if status in _BUSY:
            return _Attempt(SignalResult.UNDELIVERED, str(status), retry_after)
        refused = 300 <= status < 500  # noqa: PLR2004 (the classes of RFC 9110, section 15)
        return _Attempt(SignalResult.REFUSED if refused else SignalResult.UNKNOWN, str(status))
