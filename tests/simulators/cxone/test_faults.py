from __future__ import annotations

import time
from typing import Any

import aiohttp
import pytest

from .test_control import counts, listed, signal


async def fault(http: aiohttp.ClientSession, endpoint: str = "signal", **what: object) -> None:
    async with http.post("/simulator/faults", json={"endpoint": endpoint, **what}) as response:
        assert response.status == 201, await response.text()


async def faults(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with http.get("/simulator/faults") as response:
        found: list[dict[str, Any]] = (await response.json())["faults"]
        return found


async def test_a_status_replaces_the_response_of_the_endpoint(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await fault(http, status=503, retry_after=7, body="busy")
    async with http.post("/inContactAPI/services/v30.0/interactions/1/signal", headers=bearer) as response:
        assert (response.status, response.headers["Retry-After"], await response.text()) == (503, "7", "busy")
    assert await listed(http) == []
    assert (await counts(http))["signal"] == {"503": 1}


async def test_a_success_status_replaces_only_a_success_status(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await fault(http, status=204, times=2)
    assert await signal(http, bearer) == 204
    assert await signal(http, {}) == 401
    assert await listed(http) == ["1"]


async def test_a_fault_ends_after_its_times(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    await fault(http, status=500, times=2)
    assert await signal(http, bearer) == 500
    assert await faults(http) == [{"endpoint": "signal", "status": 500}]
    assert [await signal(http, bearer) for _ in range(2)] == [500, 202]
    assert await faults(http) == []


async def test_a_fault_without_times_lasts_until_cleared(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    await fault(http, status=500, times=None)
    assert {await signal(http, bearer) for _ in range(5)} == {500}
    async with http.delete("/simulator/faults") as response:
        assert response.status == 204
    assert await signal(http, bearer) == 202


async def test_faults_queue_in_order_each_for_its_endpoint(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    for status in (500, 502):
        await fault(http, status=status)
    await fault(http, "discovery", status=404)
    assert [await signal(http, bearer) for _ in range(3)] == [500, 502, 202]
    async with http.get("/.well-known/openid-configuration") as response:
        assert response.status == 404


async def test_a_fault_of_one_contact_does_not_affect_others(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await fault(http, status=500, contact_id="2")
    await fault(http, "transcript", status=502, contact_id="2")
    assert [await signal(http, bearer, contact_id) for contact_id in ("1", "2", "2")] == [202, 500, 202]
    statuses = []
    for body in ('{"contactId": "1"}', "no json", "[]", '{"contactId": "2"}'):
        async with http.post("/aai/tms/transcripts/post", data=body, headers=bearer) as response:
            statuses.append(response.status)
    assert statuses == [400, 400, 400, 502]


async def test_latency_delays_the_response_and_not_the_record(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await fault(http, latency_seconds=0.2)
    started_at = time.monotonic()
    assert await signal(http, bearer) == 202
    assert time.monotonic() - started_at >= 0.2

    await fault(http, latency_seconds=600)
    with pytest.raises(TimeoutError):
        async with http.post(
            "/inContactAPI/services/v30.0/interactions/2/signal",
            headers=bearer,
            timeout=aiohttp.ClientTimeout(total=0.1),
        ):
            pass
    assert await listed(http, contact_id="2", wait_for="1") == ["2"]


@pytest.mark.parametrize(("reset", "recorded"), [("before", []), ("after", ["1"])])
async def test_a_reset_closes_the_connection_without_a_response(
    http: aiohttp.ClientSession, bearer: dict[str, str], reset: str, recorded: list[str]
) -> None:
    await fault(http, reset=reset)
    with pytest.raises(aiohttp.ClientConnectionError):
        await signal(http, bearer)
    assert await listed(http) == recorded
    assert (await counts(http))["signal"] == {"reset": 1}


async def test_expired_tokens_are_refused_from_then_on(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    assert await signal(http, bearer) == 202
    await fault(http, expire_tokens=True)
    assert [await signal(http, bearer) for _ in range(2)] == [401, 401]


async def test_a_body_replaces_that_of_the_response(http: aiohttp.ClientSession) -> None:
    await fault(http, "discovery", body="<html>")
    async with http.get("/.well-known/openid-configuration") as response:
        assert (response.status, await response.text()) == (200, "<html>")


async def test_a_body_may_be_large_and_of_any_type(http: aiohttp.ClientSession) -> None:
    await fault(http, "discovery", body_bytes=10_000_000, content_type="text/html")
    async with http.get("/.well-known/openid-configuration") as response:
        assert (response.status, response.content_type, len(await response.read())) == (200, "text/html", 10_000_000)


async def test_a_response_may_stop_in_its_head(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    await fault(http, cut="head")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await signal(http, bearer)
    assert await listed(http) == ["1"]
    assert (await counts(http))["signal"] == {"cut": 1}


async def test_a_response_may_stop_in_its_body(http: aiohttp.ClientSession) -> None:
    await fault(http, "discovery", cut="body")
    async with http.get("/.well-known/openid-configuration") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize("place", ["head", "body"])
async def test_a_cut_response_may_leave_the_connection_open(http: aiohttp.ClientSession, place: str) -> None:
    await fault(http, "discovery", cut=place, latency_seconds=600)
    with pytest.raises(TimeoutError):
        async with http.get("/.well-known/openid-configuration", timeout=aiohttp.ClientTimeout(total=0.2)) as response:
            await response.read()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("{", "body"),
        ("[]", "body"),
        ("{}", "endpoint"),
        ('{"endpoint": "other", "status": 500}', "endpoint"),
        ('{"endpoint": "signal"}', "has no effect"),
        ('{"endpoint": "signal", "status": 99}', "status"),
        ('{"endpoint": "signal", "status": 500, "times": 0}', "times"),
        ('{"endpoint": "signal", "reset": "sometime"}', "reset"),
        ('{"endpoint": "signal", "status": 500, "wait": 1}', "wait"),
        ('{"endpoint": "signal", "cut": "tail"}', "cut"),
        ('{"endpoint": "signal", "cut": "head", "reset": "after"}', "cut and reset"),
        ('{"endpoint": "signal", "body": "", "body_bytes": 1}', "body and body_bytes"),
        ('{"endpoint": "signal", "body_bytes": 1000000000}', "body_bytes"),
        ('{"endpoint": "signal", "status": 200, "content_type": "a\\r\\nb: c"}', "content_type"),
        ('{"endpoint": "token", "status": 500, "contact_id": "1"}', "contact_id"),
    ],
)
async def test_an_invalid_fault_is_refused_with_a_reason(http: aiohttp.ClientSession, body: str, named: str) -> None:
    async with http.post("/simulator/faults", data=body) as response:
        assert response.status == 400
        assert named in (await response.json())["error_message"]
    assert await faults(http) == []
