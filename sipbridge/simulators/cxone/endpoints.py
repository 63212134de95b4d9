"""The endpoints of CXone that a voice handoff uses.

Sources: NICE's developer pages on access keys, `openid-configuration` and `cxone-configuration`, the published
specification of `POST /interactions/{contactId}/signal`, and for the transcript the fields that public integrations
send.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
from aiohttp import web
from pydantic import ValidationError

from sipbridge.simulators.cxone.models import Endpoint, SignalParameters, Tenant, TranscriptPost
from sipbridge.simulators.cxone.state import SignalRecord, State

STATE = web.AppKey("state", State)

_CONTACT_ID = re.compile(r"[A-Za-z0-9-]{1,32}")
_PLACEHOLDER_CONTACT_ID = "100000000000"  # means "no contact" in Studio scripts; no contact has it
_SIGNAL_PATH = (
    "/{api:(?i:inContactAPI)}/{services:(?i:services)}/{version}"
    "/{interactions:(?i:interactions)}/{contact_id}/{signal:(?i:signal)}"
)
_VERSION = re.compile(r"v\d{1,3}\.\d{1,3}", re.IGNORECASE)


class Refused(Exception):
    """A request that CXone would reject: the status and the reason."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error

    def response(self) -> web.Response:
        """Return the error response."""
        return json_response({"error": self.error, "error_description": str(self)}, status=self.status)


def json_response(body: object, status: int = 200) -> web.Response:
    """Make a JSON response."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


# By pydantic's error type.
_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "invalid_key": "must be text",
    "json_invalid": "must be JSON",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "has the wrong format",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def explain(error: ValidationError) -> str:
    """Return one line that says what is wrong with a request, without quoting it."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in fault["loc"] if part != "[key]") or "body"
        context = fault.get("ctx", {})
        text = str(context["error"]) if fault["type"] == "value_error" else _FAULTS.get(fault["type"], "is not valid")
        lines.append(f"{field}: {text.format(**context)}")
    return "; ".join(lines)


def routes() -> list[web.RouteDef]:
    """Return the routes, each named after its endpoint. The path of a Signal is not case-sensitive, as in CXone."""
    return [
        web.get("/.well-known/openid-configuration", openid_configuration, name=Endpoint.DISCOVERY),
        web.post("/auth/token", token, name=Endpoint.TOKEN),
        web.get("/.well-known/cxone-configuration", cxone_configuration, name=Endpoint.CONFIGURATION),
        web.post(_SIGNAL_PATH, signal_contact, name=Endpoint.SIGNAL),
        web.post("/aai/tms/transcripts/post", post_transcript, name=Endpoint.TRANSCRIPT),
    ]


async def openid_configuration(request: web.Request) -> web.Response:
    """Return the URL of the token endpoint."""
    origin = str(request.url.origin())
    return json_response({"issuer": origin, "token_endpoint": f"{origin}/auth/token"})


async def token(request: web.Request) -> web.Response:
    """Issue a token for an access key (`grant_type=password`, Basic authentication of the client)."""
    state = request.app[STATE]
    form = await request.post()
    if form.get("grant_type") != "password":
        raise Refused(400, "unsupported_grant_type", "grant_type must be password")
    tenant = _tenant_of_key(state, _basic_credentials(request), form)
    origin = str(request.url.origin())
    now = int(datetime.now(UTC).timestamp())
    identity = {
        "iss": origin,
        "sub": f"user:{tenant.access_key_id}",
        "tenantId": tenant.tenant_id,
        "icBUId": tenant.business_unit,
        "area": tenant.area,
        "iat": now,
        "exp": now + state.token_seconds,
    }
    return json_response(
        {
            "access_token": state.issue_token(tenant),
            "token_type": "Bearer",
            "expires_in": state.token_seconds,
            "refresh_token": "not-supported-by-the-simulator",
            "id_token": jwt.encode(identity, state.signing_key, algorithm="HS256"),
        }
    )


def _basic_credentials(request: web.Request) -> tuple[str, str]:
    """Read `Authorization: Basic base64(client_id:client_secret)` (RFC 7617)."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise Refused(401, "invalid_client", "send client_id and client_secret in Basic authentication")
    return client_id, secret


def _tenant_of_key(state: State, client: tuple[str, str], form: Mapping[str, Any]) -> Tenant:
    known = [tenant for tenant in state.tenants if _same(client, (tenant.client_id, tenant.client_secret))]
    if not known:
        raise Refused(401, "invalid_client", "no such client_id and client_secret")
    key = (str(form.get("username", "")), str(form.get("password", "")))
    for tenant in known:
        if _same(key, (tenant.access_key_id, tenant.access_key_secret)):
            return tenant
    raise Refused(400, "invalid_grant", "no such access key for this client")


def _same(given: tuple[str, str], expected: tuple[str, str]) -> bool:
    return hmac.compare_digest("\n".join(given).encode(), "\n".join(expected).encode())


async def cxone_configuration(request: web.Request) -> web.Response:
    """Return the URL of a tenant's API, which is this server."""
    tenant_id = request.query.get("tenantId", "")
    for tenant in request.app[STATE].tenants:
        if tenant.tenant_id == tenant_id:
            origin = str(request.url.origin())
            return json_response({"api_endpoint": origin, "area": tenant.area, "domain": request.url.host})
    raise Refused(404, "unknown_tenant", "tenantId is missing or unknown")


def authorize(request: web.Request) -> Tenant:
    """Return the tenant of a request's Bearer token."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    tenant = request.app[STATE].tenant_of(value) if scheme.lower() == "bearer" else None
    if tenant is None:
        raise Refused(401, "invalid_token", "the Bearer token is missing, unknown or expired")
    return tenant


async def signal_contact(request: web.Request) -> web.Response:
    """Accept a Signal: p1 to p9 as a JSON object or in the query. 202, as in the published specification."""
    tenant = authorize(request)
    contact_id, version = request.match_info["contact_id"], request.match_info["version"]
    if not _VERSION.fullmatch(version):
        raise Refused(404, "not_found", "the version of the API must look like v30.0")
    if not _CONTACT_ID.fullmatch(contact_id) or contact_id == _PLACEHOLDER_CONTACT_ID:
        raise Refused(404, "not_found", "no such contact")
    body = await request.read()
    if body and request.query:
        raise Refused(400, "bad_request", "send the parameters in the body or in the query, not in both")
    try:
        parameters = (
            SignalParameters.validate_json(body)
            if body
            else SignalParameters.validate_python(_query_parameters(request))
        )
    except ValidationError as error:
        raise Refused(400, "bad_request", explain(error)) from None
    request.app[STATE].add_signal(
        SignalRecord(
            contact_id=contact_id,
            parameters=parameters,
            received_in="query" if request.query else "body",
            tenant=tenant.tenant_id,
            version=version,
            at=datetime.now(UTC),
        )
    )
    return web.Response(status=202)


def _query_parameters(request: web.Request) -> dict[str, str]:
    parameters = dict(request.query)
    if len(parameters) != len(request.query):
        raise Refused(400, "bad_request", "a parameter is given twice")
    return parameters


async def post_transcript(request: web.Request) -> web.Response:
    """Accept a transcript with the documented fields."""
    tenant = authorize(request)
    try:
        post = TranscriptPost.model_validate_json(await request.read())
    except ValidationError as error:
        raise Refused(400, "bad_request", explain(error)) from None
    if post.busId != tenant.business_unit:
        raise Refused(403, "forbidden", "busId is not the business unit of the token")
    request.app[STATE].add_transcript(post.contactId, post.model_dump(), tenant)
    return web.Response(status=202)
