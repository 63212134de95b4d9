"""Web pages of `http.allowed_origins` may use the API from a browser, and no others."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from sipbridge.calls.events import CallStarted
from sipbridge.web import make_admin_app, start_web
from tests.store.records import make_record
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, KEY, make_config

CRM = "https://crm.example.com"
ALLOW = "Access-Control-Allow-Origin"
PREFLIGHT = {"Origin": CRM, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}


@pytest.fixture
def open_to_crm(bridge: Bridge) -> Bridge:
    bridge.config = make_config(allowed_origins=[CRM, "http://127.0.0.1:3000"])
    return bridge


async def headers_of(
    bridge: Bridge, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, CIMultiDictProxy[str]]:
    async with bridge.session.request(method, bridge.url(path), headers=headers, data=io.BytesIO(body)) as response:
        return response.status, response.headers


def cors_of(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("Access-Control") or name == "Vary"}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("calls", "GET, HEAD"),
        ("calls/", "GET, HEAD"),
        ("calls/call-1/handoff", "POST"),
        ("handoff_state", "DELETE, GET, HEAD"),
        ("events", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/pop/x", "GET, HEAD"),
    ],
)
async def test_a_preflight_needs_no_key(open_to_crm: Bridge, path: str, methods: str) -> None:
    status, headers = await headers_of(open_to_crm, "OPTIONS", path, PREFLIGHT)
    assert status == 204
    assert cors_of(headers) == {
        "Vary": "Origin",
        ALLOW: CRM,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "x-api-key, Content-Type, Last-Event-ID",
        "Access-Control-Max-Age": "600",
        "Access-Control-Expose-Headers": "Retry-After, Allow",
    }


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "calls", KEY, 200),
        ("HEAD", "calls", KEY, 200),
        ("GET", "calls", "wrong", 401),
        ("GET", "/v1/acme/sales/calls", KEY, 403),
        ("GET", "calls/none", KEY, 404),
        ("GET", "/nowhere", "", 404),
        ("PUT", "calls", KEY, 405),
        ("POST", "calls/call-1/handoff", KEY, 413),
        ("GET", "/healthz", "", 200),
    ],
)
async def test_every_response_may_be_read_by_the_page(
    open_to_crm: Bridge, method: str, path: str, key: str, status: int
) -> None:
    body = b" " * 1_100_000 if status == 413 else b""
    found, headers = await headers_of(open_to_crm, method, path, {"Origin": CRM, "x-api-key": key}, body)
    assert found == status
    assert cors_of(headers) == {"Vary": "Origin", ALLOW: CRM, "Access-Control-Expose-Headers": "Retry-After, Allow"}


async def test_too_many_requests_may_be_read_by_the_page(open_to_crm: Bridge) -> None:
    open_to_crm.config = make_config(allowed_origins=[CRM], max_requests_per_second=1)
    for _ in range(3):
        status, headers = await headers_of(open_to_crm, "GET", "calls", {"Origin": CRM, "x-api-key": KEY})
    assert (status, headers[ALLOW], headers["Retry-After"]) == (429, CRM, "1")


async def test_the_stream_may_be_read_by_the_page(open_to_crm: Bridge) -> None:
    url = open_to_crm.url("events")
    async with open_to_crm.session.get(url, headers={"Origin": CRM, "x-api-key": KEY}) as response:
        open_to_crm.report(CallStarted(make_record()))
        assert response.headers[ALLOW] == CRM
        assert [await response.content.readline() for _ in range(2)] == [b"id: 1-0-1\r\n", b"event: call.started\r\n"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://crm.example.com.evil.net",
        "http://crm.example.com",
        f"{CRM}:8443",
        "https://CRM.example.com",
        "null",
        "",
    ],
)
async def test_another_origin_is_not_allowed(open_to_crm: Bridge, origin: str) -> None:
    status, headers = await headers_of(open_to_crm, "OPTIONS", "calls", PREFLIGHT | {"Origin": origin})
    assert (status, cors_of(headers)) == (405, {"Vary": "Origin"})
    status, headers = await headers_of(open_to_crm, "GET", "calls", {"Origin": origin, "x-api-key": KEY})
    assert (status, cors_of(headers)) == (200, {"Vary": "Origin"})


async def test_a_star_allows_any_page_and_no_credentials(bridge: Bridge) -> None:
    bridge.config = make_config(allowed_origins=["*"])
    status, headers = await headers_of(bridge, "OPTIONS", "calls", PREFLIGHT | {"Origin": "https://any.example"})
    assert (status, headers[ALLOW]) == (204, "*")
    assert "Access-Control-Allow-Credentials" not in headers


async def test_cors_is_off_by_default(bridge: Bridge) -> None:
    for method, expected in (("OPTIONS", 405), ("GET", 200)):
        status, headers = await headers_of(bridge, method, "calls", PREFLIGHT | {"x-api-key": KEY})
        assert (status, cors_of(headers)) == (expected, {})


async def test_other_options_requests_and_unknown_paths_are_unchanged(open_to_crm: Bridge) -> None:
    assert (await headers_of(open_to_crm, "OPTIONS", "calls", {"Origin": CRM}))[0] == 405
    assert (await headers_of(open_to_crm, "OPTIONS", "/nowhere", PREFLIGHT))[0] == 404


@pytest.fixture
async def admin(open_to_crm: Bridge) -> AsyncIterator[str]:
    """The URL of a separate admin listener."""
    listener, (host, port) = await start_web(make_admin_app(open_to_crm.deps()), "127.0.0.1", 0)
    yield f"http://{host}:{port}"
    await listener.cleanup()


@pytest.mark.parametrize("path", ["/v1/admin/status", "/v1/admin/status/", "/v1/admin/%73tatus"])
async def test_no_web_page_may_call_admin(open_to_crm: Bridge, admin: str, path: str) -> None:
    for base in (open_to_crm.base, admin):
        for method, expected in (("GET", 200), ("OPTIONS", 405)):
            async with aiohttp.ClientSession() as session:
                headers = PREFLIGHT | {"x-api-key": ADMIN_KEY}
                async with session.request(method, base + path, headers=headers) as response:
                    assert (response.status, cors_of(response.headers)) == (expected, {})


async def test_a_reload_changes_the_allowed_origins(open_to_crm: Bridge) -> None:
    open_to_crm.config = make_config(allowed_origins=["https://new.example.com"])
    _, headers = await headers_of(open_to_crm, "GET", "/healthz", {"Origin": CRM})
    assert cors_of(headers) == {"Vary": "Origin"}
