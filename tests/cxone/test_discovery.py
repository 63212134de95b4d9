from __future__ import annotations

import aiohttp
import jwt
import orjson
import pytest

from sipbridge.cxone.discovery import Discovery
from sipbridge.cxone.http import usable_url
from sipbridge.errors import CxoneError

from .support import Clock, Simulator, config_for


@pytest.fixture
def discovery(simulator: Simulator, session: aiohttp.ClientSession, clock: Clock) -> Discovery:
    return Discovery(config_for(simulator.url), session, clock=clock)


def id_token(**claims: object) -> str:
    return jwt.encode(claims, "a key that nobody checks, of 32 bytes", algorithm="HS256")


async def test_the_issuer_names_the_token_endpoint(discovery: Discovery, simulator: Simulator) -> None:
    assert await discovery.token_endpoint() == f"{simulator.url}/auth/token"


async def test_the_tenant_of_the_id_token_names_the_api(discovery: Discovery, simulator: Simulator) -> None:
    token = id_token(iss=f"{simulator.url}/", tenantId="demo-tenant")
    assert await discovery.api_url(token) == simulator.url


async def test_a_configured_api_url_needs_no_id_token(simulator: Simulator, session: aiohttp.ClientSession) -> None:
    discovery = Discovery(config_for(simulator.url, api_url="https://api-na1.example/"), session)
    assert await discovery.api_url(None) == "https://api-na1.example"
    assert await simulator.requests("configuration") == {}


async def test_answers_are_kept_for_half_an_hour(discovery: Discovery, simulator: Simulator, clock: Clock) -> None:
    await discovery.token_endpoint()
    clock.advance(1799)
    await discovery.token_endpoint()
    assert await simulator.requests("discovery") == {"200": 1}
    clock.advance(2)
    await discovery.token_endpoint()
    assert await simulator.requests("discovery") == {"200": 2}


async def test_failures_are_not_kept(discovery: Discovery, simulator: Simulator) -> None:
    await simulator.fault("discovery", status=500)
    with pytest.raises(CxoneError, match="answered 500"):
        await discovery.token_endpoint()
    assert await discovery.token_endpoint() == f"{simulator.url}/auth/token"


@pytest.mark.parametrize(
    "body", ["<html>Sorry</html>", "{}", '{"token_endpoint": 5}', '{"token_endpoint": "ftp://a/b"}', "x" * 70_000]
)
async def test_an_answer_without_a_token_endpoint_is_refused(
    discovery: Discovery, simulator: Simulator, body: str
) -> None:
    await simulator.fault("discovery", body=body)
    with pytest.raises(CxoneError):
        await discovery.token_endpoint()


async def test_a_redirect_is_not_followed(discovery: Discovery, simulator: Simulator) -> None:
    await simulator.fault("discovery", status=302)
    with pytest.raises(CxoneError, match="answered 302"):
        await discovery.token_endpoint()


@pytest.mark.parametrize(
    "token",
    [
        None,
        "no.jwt.at-all",
        id_token(iss="https://issuer.example"),
        id_token(tenantId="demo-tenant"),
        id_token(iss="file:///etc/passwd", tenantId="demo-tenant"),
        id_token(iss="https://issuer.example", tenantId=6),
    ],
)
async def test_an_id_token_that_does_not_say_where_to_ask_is_refused(discovery: Discovery, token: str | None) -> None:
    with pytest.raises(CxoneError):
        await discovery.api_url(token)


async def test_an_unknown_tenant_is_said_so(discovery: Discovery, simulator: Simulator) -> None:
    with pytest.raises(CxoneError, match="answered 404"):
        await discovery.api_url(id_token(iss=simulator.url, tenantId="who? & what"))


async def test_the_api_of_a_tenant_may_not_be_plain_http_where_the_issuer_is_not(
    simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    discovery = Discovery(config_for("https://issuer.example"), session)
    answer = orjson.dumps({"api_endpoint": "http://api.example"}).decode()
    await simulator.fault("configuration", body=answer)
    with pytest.raises(CxoneError, match="plain http"):
        await discovery.api_url(id_token(iss=simulator.url, tenantId="demo-tenant"))


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://api.example", "https://issuer.example"),
        ("https://api.example:8443/base", "https://issuer.example"),
        ("http://127.0.0.1:9100", "https://issuer.example"),
        ("http://[::1]:9100", "https://issuer.example"),
        ("http://localhost:9100", "https://issuer.example"),
        ("http://api.example", "http://issuer.example"),
    ],
)
def test_these_urls_are_used(url: str, issuer: str) -> None:
    assert usable_url(f"{url}/", "it", issuer=issuer) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        5,
        "api.example",
        "//api.example",
        "https://",
        "https://[half",
        "https://api.example:port",
        "https://user@api.example",
        "ws://api.example",
        "http://api.example",
        "http://127.0.0.1.example",
    ],
)
def test_these_are_not(url: object) -> None:
    with pytest.raises(CxoneError):
        usable_url(url, "it", issuer="https://issuer.example")
