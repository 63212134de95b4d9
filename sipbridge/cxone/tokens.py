"""Access tokens of a tenant's API, cached while they are valid and renewed before they expire."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError

from sipbridge.calls.events import TokenRequested
from sipbridge.calls.ports.observer import Observer
from sipbridge.config import CxoneConfig
from sipbridge.cxone.discovery import Discovery
from sipbridge.errors import CxoneError, HttpError
from sipbridge.handoffs.outcome import Result
from sipbridge.http import HttpClient, Response

_REQUEST_SECONDS = 3.0
_REFRESH_SECONDS = 10.0  # discovery, token and configuration together
_RENEW_BEFORE_SECONDS = 600.0
_RENEWAL_PAUSE_SECONDS = 10.0  # between attempts to renew a token that is still valid
_RETRY_DELAYS = (0.2, 0.4)  # within one refresh
_MAX_PAUSE_SECONDS = 1.0  # a longer Retry-After ends the refresh
_MAX_HOLD_SECONDS = 300.0
# The limits on `expires_in`, whatever CXone sends: no token per call, and none for ever. A refused token is replaced.
_MIN_LIFETIME_SECONDS = 30.0
_DEFAULT_LIFETIME_SECONDS = 3600.0
_MAX_LIFETIME_SECONDS = 86_400.0
_BUSY = (429, 503)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A token, the API that it is for, and the headers of requests with it. `expires_at` is a time of the clock."""

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
    """Return the lifetime of a token in seconds, within limits; a value that is not a number gives the default."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # may raise
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if math.isnan(seconds):
        return _DEFAULT_LIFETIME_SECONDS
    return min(max(seconds, _MIN_LIFETIME_SECONDS), _MAX_LIFETIME_SECONDS)


class _TokenResponse(BaseModel):
    """The response of the token endpoint (RFC 6749, section 5.1; `id_token` of OpenID Connect)."""

    access_token: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x21-\x7e]+$")]
    expires_in: Annotated[float, BeforeValidator(_lifetime)] = _DEFAULT_LIFETIME_SECONDS
    id_token: Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)] = None


class TokenSource:
    """The access of one client. It is not shared with other clients, as a shared cache has mixed up tenants.

    However many requests need a token, one refresh runs at a time. The first request starts it. The refresh goes on if
    that request is cancelled, as others may wait for it.
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
        form = {
            "grant_type": "password",
            "username": config.access_key_id,
            "password": config.access_key_secret.get_secret_value(),
        }
        self._form = urlencode(form).encode()
        credentials = f"{config.client_id}:{config.client_secret.get_secret_value()}"
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._access: Access | None = None
        self._renew_at = 0.0
        self._held_until = 0.0
        self._refreshing: asyncio.Task[Access] | None = None

    def current(self) -> Access | None:
        """Return the cached access if it is valid. If it expires soon, start a refresh in the background."""
        access, now = self._access, self._clock()
        if access is None or now >= access.expires_at:
            return None
        if now >= self._renew_at:
            self._start_refresh()
        return access

    async def get(self) -> Access:
        """Return the cached access or a new one. Raises `CxoneError` if there is none."""
        if (access := self.current()) is not None:
            return access
        if self._refreshing is None and self._clock() < self._held_until:
            raise CxoneError("the token endpoint asked for a pause")
        refresh = self._start_refresh()
        await asyncio.wait([refresh])  # unlike `await refresh`, does not cancel it when this task is cancelled
        if refresh.cancelled():
            raise CxoneError("no token: the bridge is stopping")
        return refresh.result()

    def drop(self, refused: Access) -> None:
        """Discard an access that CXone refused, unless another one is in use already."""
        if self._access is refused:
            self._access = None

    async def close(self) -> None:
        """Cancel a refresh in progress."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def _start_refresh(self) -> asyncio.Task[Access]:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name=f"cxone token of {self._client}")
            self._refreshing.add_done_callback(self._refresh_done)
        return self._refreshing

    def _refresh_done(self, refresh: asyncio.Task[Access]) -> None:
        self._refreshing = None
        if not refresh.cancelled():
            refresh.exception()  # reported already; retrieved, so that asyncio does not log it again

    async def _refresh(self) -> Access:
        started_at = self._clock()
        result = Result.UPSTREAM_ERROR
        try:
            async with asyncio.timeout(_REFRESH_SECONDS):
                endpoint = await self._discovery.token_endpoint()
                response = await self._request(endpoint)
                result = _result_of(response.status)
                if result is not Result.SUCCESS:
                    self._held_until = self._clock() + min(response.retry_after or 0.0, _MAX_HOLD_SECONDS)
                    raise CxoneError(f"the token endpoint responded with {response.status}{_advice(response.status)}")
                result = Result.UPSTREAM_ERROR
                access = await self._read(response, requested_at=started_at)
        except (HttpError, TimeoutError) as error:
            self._renew_at = self._clock() + _RENEWAL_PAUSE_SECONDS
            message = str(error) or "no token in time"
            self._report(result, started_at, message)
            raise CxoneError(message) from error
        self._access = access
        lifetime = access.expires_at - started_at
        self._renew_at = access.expires_at - min(_RENEW_BEFORE_SECONDS, lifetime / 6)
        self._report(Result.SUCCESS, started_at, "")
        return access

    async def _request(self, endpoint: str) -> Response:
        """Request a token. Repeat it if there is no response or CXone is busy, never if CXone refused it."""
        for delay in _RETRY_DELAYS:
            try:
                response = await self._post(endpoint)
            except HttpError:
                pause = delay
            else:
                pause = max(delay, response.retry_after or 0.0)
                if response.status not in _BUSY or pause > _MAX_PAUSE_SECONDS:
                    return response
            await asyncio.sleep(pause)
        return await self._post(endpoint)

    async def _post(self, endpoint: str) -> Response:
        return await self._http.request(
            "POST", endpoint, headers=self._headers, body=self._form, seconds=_REQUEST_SECONDS
        )

    async def _read(self, response: Response, *, requested_at: float) -> Access:
        try:
            token = _TokenResponse.model_validate(response.json_object("the token endpoint"))
        except ValidationError as error:
            wrong = ", ".join(str(fault["loc"][0]) for fault in error.errors(include_input=False))
            raise CxoneError(f"the token endpoint's response is not valid: {wrong}") from None
        api_url = await self._discovery.api_url(token.id_token)
        return Access(token.access_token, api_url, requested_at + token.expires_in)

    def _report(self, result: Result, started_at: float, message: str) -> None:
        self._observer(TokenRequested(self._client, result, self._clock() - started_at))
        extra = {"event": "cxone_token", "client": self._client}
        if message:
            logger.warning("no access token from CXone: %s", message, extra=extra)
        else:
            logger.debug("access token received from CXone", extra=extra)


def _result_of(status: int) -> Result:
    if status == 200:  # noqa: PLR2004 (200 OK)
        return Result.SUCCESS
    return Result.CLIENT_ERROR if status in (400, 401, 403) else Result.UPSTREAM_ERROR


def _advice(status: int) -> str:
    """Return what to check for a status, if it indicates a cause."""
    return {
        400: ": check cxone.access_key_id and cxone.access_key_secret",
        401: ": check cxone.client_id and cxone.client_secret",
        403: ": check that the client and the access key may use this tenant",
    }.get(status, "")
