"""Access to a tenant's API: a token, kept while it is good and renewed before it is not."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError

from sipbridge.calls.events import TokenRequested
from sipbridge.calls.ports import Observer
from sipbridge.config import CxoneConfig
from sipbridge.cxone.discovery import Discovery
from sipbridge.cxone.http.client import HttpClient
from sipbridge.cxone.http.connection import Response
from sipbridge.errors import CxoneError
from sipbridge.handoffs.outcome import Result

_REQUEST_SECONDS = 3.0
_REFRESH_SECONDS = 10.0  # discovery, token and configuration together
_RENEW_BEFORE_SECONDS = 600.0
_RENEWAL_PAUSE_SECONDS = 10.0  # between tries to replace a token that is still good
_RETRY_DELAYS = (0.2, 0.4)  # within one flight
_LONGEST_PAUSE_SECONDS = 1.0  # a longer Retry-After ends the flight
_LONGEST_HOLD_SECONDS = 300.0
# However absurd what CXone says: not a token for each call, nor one for ever. One that is refused is replaced anyway.
_SHORTEST_LIFE_SECONDS = 30.0
_USUAL_LIFE_SECONDS = 3600.0
_LONGEST_LIFE_SECONDS = 86_400.0
_BUSY = (429, 503)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A token and where it is good, with what every request needs of them made once. Times are of the clock."""

    token: str = field(repr=False)
    api_url: str
    expires_at: float
    headers: dict[str, str] = field(init=False, repr=False)
    json_headers: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        authorization = {"Authorization": f"Bearer {self.token}"}
        object.__setattr__(self, "headers", authorization)
        object.__setattr__(self, "json_headers", authorization | {"Content-Type": "application/json"})


def _lifetime(value: object) -> float:
    """Return how long a token is good, in seconds, within limits: the usual time for what says nothing of it."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # that is tried
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if math.isnan(seconds):
        return _USUAL_LIFE_SECONDS
    return min(max(seconds, _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS)


class _TokenResponse(BaseModel):
    """The answer of the token endpoint (RFC 6749, section 5.1; `id_token` of OpenID Connect)."""

    access_token: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x21-\x7e]+$")]
    expires_in: Annotated[float, BeforeValidator(_lifetime)] = _USUAL_LIFE_SECONDS
    id_token: Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)] = None


class TokenSource:
    """The access of one client; never shared with another, for a cache shared by tenants has mixed them up.

    However many ask at once, one request goes out (a flight). It is made by the first who needs it, and goes on when
    that one gives up: others may still wait for it.
    """

    def __init__(
        self,
        client: str,
        config: CxoneConfig,
        http: HttpClient,
        observer: Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._http = http
        self._observer = observer
        self._clock = clock
        self._discovery = Discovery(config, http, clock=clock)
        self._form = {
            "grant_type": "password",
            "username": config.access_key_id,
            "password": config.access_key_secret.get_secret_value(),
        }
        credentials = f"{config.client_id}:{config.client_secret.get_secret_value()}"
        self._headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
        self._access: Access | None = None
        self._renew_at = 0.0
        self._held_until = 0.0
        self._refreshing: asyncio.Task[Access] | None = None

    def at_hand(self) -> Access | None:
        """The access there is, if it is still good; where it is soon not, a new one is asked for meanwhile."""
        access, now = self._access, self._clock()
        if access is None or now >= access.expires_at:
            return None
        if now >= self._renew_at:
            self._start_refresh()
        return access

    async def get(self) -> Access:
        """The access there is, or a new one. Raises `CxoneError` where none can be had."""
        if (access := self.at_hand()) is not None:
            return access
        if self._refreshing is None and self._clock() < self._held_until:
            raise CxoneError("the token endpoint asked to wait")
        flight = self._start_refresh()
        await asyncio.wait([flight])  # unlike awaiting it, leaves it in the air when its waiter is cancelled
        if flight.cancelled():
            raise CxoneError("no token any more: shutting down")
        return flight.result()

    def drop(self, refused: Access) -> None:
        """Forget an access that CXone refused, unless it is no longer the one in use."""
        if self._access is refused:
            self._access = None

    async def close(self) -> None:
        """Give up a flight that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def _start_refresh(self) -> asyncio.Task[Access]:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name=f"cxone token of {self._client}")
            self._refreshing.add_done_callback(self._refresh_done)
        return self._refreshing

    def _refresh_done(self, flight: asyncio.Task[Access]) -> None:
        self._refreshing = None
        if not flight.cancelled():
            flight.exception()  # told already; asked for here, lest asyncio report that nobody did

    async def _refresh(self) -> Access:
        started_at = self._clock()
        result = Result.UPSTREAM_ERROR
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                endpoint = await self._discovery.token_endpoint()
                answer = await self._ask(endpoint)
                result = _judge(answer.status)
                if result is not Result.SUCCESS:
                    self._held_until = self._clock() + min(answer.retry_after or 0.0, _LONGEST_HOLD_SECONDS)
                    raise CxoneError(f"the token endpoint answered {answer.status}{_advice(answer.status)}")  # noqa: TRY301 (one place tells of all failures)
                result = Result.UPSTREAM_ERROR
                access = await self._read(answer, asked_at=started_at)
        except (CxoneError, TimeoutError) as error:
            self._renew_at = self._clock() + _RENEWAL_PAUSE_SECONDS
            message = str(error) or "no token in time"
            self._tell(result, started_at, message)
            raise CxoneError(message) from error
        self._access = access
        lifetime = access.expires_at - started_at
        self._renew_at = access.expires_at - min(_RENEW_BEFORE_SECONDS, lifetime / 6)
        self._tell(Result.SUCCESS, started_at, "")
        return access

    async def _ask(self, endpoint: str) -> Response:
        """Ask for a token: again where no answer came or CXone is busy, never where it refused."""
        for delay in _RETRY_DELAYS:
            try:
                answer = await self._post(endpoint)
            except CxoneError:
                pause = delay
            else:
                pause = max(delay, answer.retry_after or 0.0)
                if answer.status not in _BUSY or pause > _LONGEST_PAUSE_SECONDS:
                    return answer
            await asyncio.sleep(pause)
        return await self._post(endpoint)

    async def _post(self, endpoint: str) -> Response:
        return await self._http.post_form(endpoint, self._form, self._headers, _REQUEST_SECONDS)

    async def _read(self, answer: Response, *, asked_at: float) -> Access:
        try:
            given = _TokenResponse.model_validate(answer.json_object("the token endpoint"))
        except ValidationError as error:
            wrong = ", ".join(str(fault["loc"][0]) for fault in error.errors(include_input=False))
            raise CxoneError(f"the token endpoint's answer cannot be used: {wrong}") from None
        api_url = await self._discovery.api_url(given.id_token)
        return Access(given.access_token, api_url, asked_at + given.expires_in)

    def _tell(self, result: Result, started_at: float, message: str) -> None:
        self._observer(TokenRequested(self._client, result, self._clock() - started_at))
        extra = {"event": "cxone_token", "client": self._client}
        if message:
            logger.warning("no access token from CXone: %s", message, extra=extra)
        else:
            logger.debug("got an access token from CXone", extra=extra)


def _judge(status: int) -> Result:
    if status == 200:  # noqa: PLR2004 (OK, by its number as all over HTTP)
        return Result.SUCCESS
    return Result.CLIENT_ERROR if status in (400, 401, 403) else Result.UPSTREAM_ERROR


def _advice(status: int) -> str:
    """What to look at, where the answer tells."""
    return {
        400: ": check cxone.access_key_id and cxone.access_key_secret",
        401: ": check cxone.client_id and cxone.client_secret",
        403: ": check that the client and the access key may use this tenant",
    }.get(status, "")
