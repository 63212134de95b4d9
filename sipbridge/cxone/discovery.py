"""Discovery of a tenant's token endpoint and API."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sipbridge.config import CxoneConfig
from sipbridge.cxone.urls import url_of_cxone, usable_url
from sipbridge.errors import CxoneError
from sipbridge.http import HttpClient, read_lenient_json

# Shorter than the life of a token, so that each renewal discovers a tenant that has moved. Long enough that a new token
# after a 401 needs no discovery.
_MAX_AGE_SECONDS = 1800.0
_REQUEST_SECONDS = 3.0
_SET_API_URL = "if it is correct, set cxone.api_url"


class Discovery:
    """The endpoints of one client, cached for half an hour.

    Source: NICE's developer pages, `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery 1.0) and
    `{iss}/.well-known/cxone-configuration?tenantId=`.
    """

    def __init__(self, config: CxoneConfig, http: HttpClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = config.issuer.rstrip("/")
        self._api_url = config.api_url
        self._http = http
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}

    async def token_endpoint(self) -> str:
        """Return the URL of the token endpoint. Raises `HttpError`."""
        issuer = usable_url(self._issuer, "cxone.issuer", issuer=self._issuer)
        url = f"{issuer}/.well-known/openid-configuration"
        return await self._discover(url, "token_endpoint", instead="check cxone.issuer")

    async def api_url(self, id_token: str | None) -> str:
        """Return the base URL of the tenant's API, without a slash at its end. Raises `HttpError`.

        It is `cxone.api_url` if that is set, else the URL that the issuer of the id_token names for its tenant.
        """
        if self._api_url is not None:
            return usable_url(self._api_url, "cxone.api_url", issuer=self._issuer)
        if id_token is None:
            raise CxoneError("the token response has no id_token, so the tenant's API is unknown; set cxone.api_url")
        issuer, tenant = _issuer_and_tenant(id_token)
        issuer = url_of_cxone(issuer, "iss of the id_token", issuer=self._issuer, instead=_SET_API_URL)
        url = f"{issuer}/.well-known/cxone-configuration?tenantId={quote(tenant, safe='')}"
        return await self._discover(url, "api_endpoint", instead=_SET_API_URL)

    async def _discover(self, url: str, key: str, *, instead: str) -> str:
        found, found_at = self._known.get(url, ("", 0.0))
        now = self._clock()
        if found and now - found_at < _MAX_AGE_SECONDS:
            return found
        response = await self._http.request("GET", url, seconds=_REQUEST_SECONDS)
        source = url.partition("?")[0]
        if response.status != 200:  # noqa: PLR2004 (200 OK)
            raise CxoneError(f"{source} responded with {response.status}")
        named = response.json_object(source).get(key)
        named = named.strip() if isinstance(named, str) else named
        found = url_of_cxone(named, f"{key} of {source}", issuer=self._issuer, instead=instead)
        self._known = {known: entry for known, entry in self._known.items() if now - entry[1] < _MAX_AGE_SECONDS}
        self._known[url] = (found, now)
        return found


def _issuer_and_tenant(id_token: str) -> tuple[str, str]:
    """Read the two claims that identify the tenant and its issuer.

    The signature is not checked: the token comes directly from the issuer's token endpoint over TLS, which OpenID
    Connect Core 1.0, section 3.1.3.7, point 6, accepts instead.
    """
    claims = _claims(id_token)
    issuer, tenant = _text(claims.get("iss")), _text(claims.get("tenantId"))
    if not issuer or not tenant:
        raise CxoneError("the id_token has no iss or no tenantId")
    return issuer, tenant


def _claims(id_token: str) -> dict[str, Any]:
    """Read the payload of a JWT (RFC 7519, 3), in base64url with or without padding. Ignore its other parts."""
    parts = "".join(id_token.split()).split(".")
    payload = parts[1].rstrip("=") if len(parts) > 1 else ""
    try:
        claims = read_lenient_json(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise CxoneError("the id_token is not a valid JWT")
    return claims


def _text(value: object) -> str:
    """Return a claim as text. Some issuers write an id of digits as a number."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
