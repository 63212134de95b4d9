"""The Signal: one POST that wakes the contact's Studio script, and is sent again only where it cannot have arrived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode

import orjson

from sipbridge.calls.ports import SignalNote, SignalResult
from sipbridge.config import CxoneConfig
from sipbridge.cxone.breaker import Breaker
from sipbridge.cxone.http.client import Announcement, HttpClient
from sipbridge.cxone.http.connection import Response
from sipbridge.cxone.tokens import Access, TokenSource
from sipbridge.errors import CxoneError, CxoneNotReached

_BACKOFF_SECONDS = 0.2  # doubled with each try
_LEAST_SECONDS = 0.25  # with less left a try would more likely end unknown than do any good
_PLACEHOLDER_CONTACT_ID = "100000000000"  # stands for "no contact" in Studio scripts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Try:
    """What one try came to, and what that was read from (for the log).

    `retry_after` is the least seconds to wait before it is sent again, `refused_access` what was refused in its place:
    then it is worth another try with a fresh one. Where both are None it is not to be sent again.
    """

    result: SignalResult
    answer: str
    retry_after: float | None = None
    refused_access: Access | None = None


_HELD_BACK = _Try(SignalResult.UNDELIVERED, "held back, as CXone does not answer")
_NO_TIME_LEFT = _Try(SignalResult.UNDELIVERED, "no time left")
_ACCEPTED = (200, 202, 204)  # NICE's specification has 202; the others are answered too, and mean the same
_TOKEN_REFUSED = (401, 403)
_BUSY = (429, 503)
# Only these say that CXone is not there: a 500 can be the doing of one script, a 502 or 504 is a gateway's.
_SAY_DOWN = (429, 502, 503, 504)


class Signaller:
    """Sends the Signals of one client.

    Source: `POST /interactions/{contactId}/signal` of NICE's published API. It knows no idempotency key, and two
    Signals start the script's ONSIGNAL twice, so this sends again only after no connection, after 401 or 403 with a
    fresh token (once), and after 429 or 503, each with what is left of `budget_seconds`, token included.
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
        """Signal the contact's script; returns within the budget. `note` as `ContactCentre` says."""
        contact_id = contact_id.strip()
        if not contact_id or contact_id == _PLACEHOLDER_CONTACT_ID:
            tried = _Try(SignalResult.UNDELIVERED, "there is no such contact")
        else:
            tried = await self._deliver(*self._request(contact_id, parameters), note)
        extra = {"event": "cxone_signal", "client": self._client, "contact_id": contact_id}
        level = logging.DEBUG if tried.result is SignalResult.ACCEPTED else logging.WARNING
        logger.log(level, "Signal %s: %s", tried.result.value, tried.answer, extra=extra)
        return tried.result

    async def _deliver(self, path: str, body: bytes, note: SignalNote) -> _Try:
        deadline = asyncio.get_running_loop().time() + self._budget
        backoff = _BACKOFF_SECONDS
        token_was_refused = False
        while self._breaker.admits():
            tried = await self._try(path, body, deadline, note)
            if tried.refused_access is not None and not token_was_refused:
                token_was_refused = True
                self._tokens.drop(tried.refused_access)
                await note(SignalResult.UNDELIVERED)
                continue
            if tried.retry_after is None:
                return tried
            pause = max(backoff, tried.retry_after)
            backoff *= 2
            if self._breaker.is_open or self._seconds_until(deadline - pause) is None:
                return tried
            await note(SignalResult.UNDELIVERED)
            await asyncio.sleep(pause)
        return _HELD_BACK

    def _request(self, contact_id: str, parameters: Mapping[str, str]) -> tuple[str, bytes]:
        """The path with its query, and the body. A lone surrogate, which has no UTF-8, becomes a question mark."""
        texts = {name: text.encode(errors="replace").decode() for name, text in parameters.items()}
        path = f"{self._path}{quote(contact_id, safe='')}/signal"
        if not self._in_query:
            return path, orjson.dumps(texts)
        return (f"{path}?{urlencode(texts, quote_via=quote, safe='')}" if texts else path), b""

    async def _token_before(self, deadline: float) -> Access:
        async with asyncio.timeout_at(deadline):
            return await self._tokens.get()

    def _seconds_until(self, deadline: float) -> float | None:
        """The time for a try that begins now; None where too little is left for one."""
        left = deadline - asyncio.get_running_loop().time()
        return left if left >= min(_LEAST_SECONDS, self._budget / 2) else None

    async def _try(self, path: str, body: bytes, deadline: float, note: SignalNote) -> _Try:
        """Send it once."""
        try:
            access = self._tokens.at_hand() or await self._token_before(deadline)
        except (CxoneError, TimeoutError):
            self._breaker.failed()
            return _Try(SignalResult.UNDELIVERED, "no access token")
        seconds = self._seconds_until(deadline)
        if seconds is None:
            return _NO_TIME_LEFT
        headers = access.json_headers if body else access.headers
        try:
            announcement = Announcement(partial(note, SignalResult.UNKNOWN), partial(note, SignalResult.UNDELIVERED))
            answer = await self._http.post(access.api_url, path, headers, body, seconds, announcement)
        except CxoneNotReached as error:
            self._breaker.failed()
            return _Try(SignalResult.UNDELIVERED, str(error), retry_after=0.0)
        except CxoneError as error:
            # Also a pooled connection that CXone closed at the same moment: nothing tells whether it read the request.
            self._breaker.failed()
            return _Try(SignalResult.UNKNOWN, str(error))
        return self._judge(answer, access)

    def _judge(self, answer: Response, access: Access) -> _Try:
        """Read a status: 3xx and 4xx refuse; other 2xx and 5xx leave open whether the script got it."""
        status = answer.status
        retry_after = answer.retry_after or 0.0
        if status in _SAY_DOWN:
            self._breaker.failed(retry_after)
        else:
            self._breaker.answered()
        if status in _ACCEPTED:
            # The API sends no page for people: who does is a portal or a gateway in its place.
            if answer.is_html:
                return _Try(SignalResult.UNKNOWN, f"{status} with HTML")
            return _Try(SignalResult.ACCEPTED, str(status))
        if status in _TOKEN_REFUSED:
            return _Try(SignalResult.REFUSED, str(status), refused_access=access)
        if status in _BUSY:
            return _Try(SignalResult.UNDELIVERED, str(status), retry_after)
        refused = 300 <= status < 500  # noqa: PLR2004 (the classes of RFC 9110, section 15)
        return _Try(SignalResult.REFUSED if refused else SignalResult.UNKNOWN, str(status))
