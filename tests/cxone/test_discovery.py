from __future__ import annotations

import jwt
import orjson
import pytest

from sipbridge.cxone.discovery import Discovery
from sipbridge.errors import HttpError
from sipbridge.http import HttpClient

from .support import Clock, Simulator, config_for


@pytest.fixture
def discovery(simulator: Simulator, http: HttpClient, clock: Clock) -> Discovery:
    return Discovery(config_for(simulator.url), http, clock=clock)


def id_token(**claims: object) -> str:
    return jwt.encode(claims, "an unchecked key of 32 bytes length", algorithm="HS256")


async def test_the_issuer_names_the_token_endpoint(discovery: Discovery, simulator: Simulator) -> None:
    assert await discovery.token_endpoint() == f"{simulator.url}/auth/token"


async def test_the_tenant_of_the_id_token_names_the_api(discovery: Discovery, simulator: Simulator) -> None:
    token = id_token(iss=f"{simulator.url}/", tenantId="demo-tenant")
    assert await discovery.api_url(token) == simulator.url


async def test_a_tenant_may_be_a_number(discovery: Discovery, simulator: Simulator) -> None:
    with pytest.raises(HttpError, match="responded with 404"):  # of the simulator
        await discovery.api_url(id_token(iss=simulator.url, tenantId=4599999))


async def test_a_configured_api_url_needs_no_id_token(simulator: Simulator, http: HttpClient) -> None:
    discovery = Discovery(config_for(simulator.url, api_url="https://api-na1.example/"), http)
    assert await discovery.api_url(None) == "https://api-na1.example"
    assert await simulator.requests("configuration") == {}


async def test_discovered_urls_are_cached_for_half_an_hour(
    discovery: Discovery, simulator: Simulator, clock: Clock
) -> None:
    await discovery.token_endpoint()
    clock.advance(1799)
    await discovery.token_endpoint()
    assert await simulator.requests("discovery") == {"200": 1}
    clock.advance(2)
    await discovery.token_endpoint()
    assert await simulator.requests("discovery") == {"200": 2}


async def test_failures_are_not_cached(discovery: Discovery, simulator: Simulator) -> None:
    await simulator.fault("discovery", status=500)
    with pytest.raises(HttpError, match="responded with 500"):
        await discovery.token_endpoint()
    assert await discovery.token_endpoint() == f"{simulator.url}/auth/token"


@pytest.mark.parametrize(
    "body", ["<html>Sorry</html>", "{}", '{"token_endpoint": 5}', '{"token_endpoint": "ftp://a/b"}', "x" * 70_000]
)
async def test_a_response_without_a_token_endpoint_is_refused(
    discovery: Discovery, simulator: Simulator, body: str
) -> None:
    await simulator.fault("discovery", body=body)
    with pytest.raises(HttpError):
        await discovery.token_endpoint()


async def test_a_redirect_is_not_followed(discovery: Discovery, simulator: Simulator) -> None:
    await simulator.fault("discovery", status=302)
    with pytest.raises(HttpError, match="responded with 302"):
        await discovery.token_endpoint()


@pytest.mark.parametrize(
    "token",
    [
        None,
        "no.jwt.at-all",
        id_token(iss="https://issuer.example"),
        id_token(tenantId="demo-tenant"),
        id_token(iss="file:///etc/passwd", tenantId="demo-tenant"),
        id_token(iss="https://issuer.example", tenantId=[6]),
        id_token(iss="https://issuer.example", tenantId=True),
        "header.W10.signature",
        f"header.{'W1tb' * 10_000}.signature",
        "header.\u00e9.signature",
        "..",
    ],
)
async def test_an_id_token_without_issuer_or_tenant_is_refused(discovery: Discovery, token: str | None) -> None:
    with pytest.raises(HttpError):
        await discovery.api_url(token)


async def test_an_unknown_tenant_is_an_error(discovery: Discovery, simulator: Simulator) -> None:
    with pytest.raises(HttpError, match="responded with 404"):
        await discovery.api_url(id_token(iss=simulator.url, tenantId="who? & what"))


@pytest.mark.parametrize("endpoint", ["https://stranger.example", "http://127.0.0.2:9100", "https://api/?to="])
async def test_the_token_is_not_sent_to_a_foreign_host_that_a_response_names(
    discovery: Discovery, simulator: Simulator, endpoint: str
) -> None:
    await simulator.fault("configuration", body=orjson.dumps({"api_endpoint": endpoint}).decode())
    with pytest.raises(HttpError):
        await discovery.api_url(id_token(iss=simulator.url, tenantId="demo-tenant"))


@pytest.mark.parametrize("endpoint", ["https://stranger.example/auth/token", "http://127.0.0.2:9100/auth/token"])
async def test_the_access_key_is_not_sent_to_a_foreign_host_that_a_response_names(
    discovery: Discovery, simulator: Simulator, endpoint: str
) -> None:
    await simulator.fault("discovery", body=orjson.dumps({"token_endpoint": endpoint}).decode())
    with pytest.raises(HttpError, match=r"names .* check cxone.issuer"):
        await discovery.token_endpoint()


async def test_a_foreign_issuer_in_an_id_token_gets_no_request(discovery: Discovery) -> None:
    with pytest.raises(HttpError, match="neither the issuer's nor NICE's"):
        await discovery.api_url(id_token(iss="https://stranger.example", tenantId="demo-tenant"))
