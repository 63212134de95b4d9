from __future__ import annotations

import asyncio
import logging

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.errors import StartupError
from sipbridge.web import make_app, start_web
from tests.store.records import make_record

from .conftest import Bridge
from .fakes import KEY

PATHS = ["/healthz", "/pop/x", "/v1/acme/billing/calls", "/nowhere", "/openapi.json"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_response_has_the_security_headers(bridge: Bridge, path: str) -> None:
    async with bridge.session.get(bridge.base + path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "sipbridge"
        assert "frame-ancestors" in response.headers["Content-Security-Policy"]


async def test_an_unknown_path_is_404_as_json(bridge: Bridge) -> None:
    for path in ("/", "/nowhere", "/v1/acme/billing/nothing", "/v1//calls", "/%00", "/v1/acme/billing/calls//"):
        assert await bridge.get(path) == (404, {"error_message": "no such path", "code": "not_found"})


async def test_a_wrong_method_is_405_and_names_the_right_one(bridge: Bridge) -> None:
    async with bridge.session.delete(bridge.url("calls")) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        assert await response.json() == {"error_message": "use GET or HEAD here", "code": "method_not_allowed"}


async def test_an_internal_error_is_500_and_is_quoted_nowhere(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = "+15550001 said something"

    async def fail(*_: str) -> CallRecord | None:
        raise RuntimeError(said)

    monkeypatch.setattr(bridge.store, "get", fail)
    assert await bridge.get("calls/call-1") == (
        500,
        {"error_message": "this service failed; see its log", "code": "internal_error"},
    )
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "RuntimeError" in line.getMessage()
    assert "in fail" in line.__dict__["stack"]
    assert line.__dict__["route"] == "/v1/{account_id}/{project_id}/calls/{call_id}"
    assert "5550001" not in repr(line.__dict__)


async def test_no_log_line_has_the_path_or_the_key_of_a_request(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await bridge.get("/pop/secret-link", KEY)
    await bridge.get("handoff_state?shared_id=secret-contact")
    assert "secret" not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "head",
    [b"GARBAGE", b"GET /healthz HTTP/1.1\r\nA: " + b"secret" * 5000, b"GET /secret-\xff HTTP/1.1\r\nx-api-key: secret"],
)
async def test_bytes_that_are_not_http_are_400_and_not_logged(
    bridge: Bridge, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    host, _, port = bridge.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"\r\n\r\n")
    assert b" 400 Bad Request" in await reader.readline()
    writer.close()
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


async def test_concurrent_requests_each_get_their_own_response(bridge: Bridge) -> None:
    await asyncio.gather(*(bridge.store.put(make_record(f"call-{n}")) for n in range(100)))
    responses = await asyncio.gather(*(bridge.get(f"calls/call-{n}") for n in range(100)))
    assert [body["id"] for _, body in responses] == [f"call-{n}" for n in range(100)]


async def test_an_address_in_use_is_named(bridge: Bridge) -> None:
    host, _, port = bridge.base.removeprefix("http://").partition(":")
    with pytest.raises(StartupError, match=rf"http\.listen: cannot listen on {host}:{port}: the address is in use; "):
        await start_web(make_app(bridge.deps()), host, int(port))


async def test_every_response_is_counted_by_operation(bridge: Bridge) -> None:
    await bridge.get("calls")
    await bridge.get("calls/none", "wrong")
    await bridge.post("calls")
    await bridge.get("/nowhere/15550001")
    async with bridge.session.delete(f"{bridge.base}/healthz"):
        pass
    assert bridge.counted == [("list_calls", 200), ("get_call", 401), ("none", 405), ("none", 404), ("none", 405)]
