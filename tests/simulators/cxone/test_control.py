from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest


async def signal(http: aiohttp.ClientSession, bearer: dict[str, str], contact_id: str = "1") -> int:
    path = f"/inContactAPI/services/v30.0/interactions/{contact_id}/signal"
    async with http.post(path, json={"p1": "x"}, headers=bearer) as response:
        return response.status


async def listed(http: aiohttp.ClientSession, **query: str) -> list[str]:
    async with http.get("/simulator/signals", params=query) as response:
        found: dict[str, Any] = await response.json()
    assert found["count"] == len(found["signals"])
    return [each["contact_id"] for each in found["signals"]]


async def counts(http: aiohttp.ClientSession) -> dict[str, dict[str, int]]:
    async with http.get("/simulator/requests") as response:
        found: dict[str, dict[str, int]] = await response.json()
        return found


async def test_signals_are_listed_in_order_of_all_contacts_or_of_one(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    for contact_id in ("1", "2", "1"):
        await signal(http, bearer, contact_id)
    assert await listed(http) == ["1", "2", "1"]
    assert await listed(http, contact_id="1") == ["1", "1"]
    assert await listed(http, contact_id="3") == []


async def test_a_list_waits_for_the_requested_number_of_signals(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await signal(http, bearer, "1")
    waiting = asyncio.create_task(listed(http, contact_id="1", wait_for="3", timeout="30"))
    for contact_id in ("1", "2", "1"):
        await signal(http, bearer, contact_id)
    assert await waiting == ["1", "1", "1"]


async def test_a_list_does_not_wait_for_signals_that_have_arrived(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await signal(http, bearer, "1")
    assert await listed(http, wait_for="1", timeout="600") == ["1"]


async def test_a_list_returns_what_has_arrived_at_its_timeout(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await signal(http, bearer, "1")
    assert await listed(http, wait_for="2", timeout="0.05") == ["1"]


@pytest.mark.parametrize("query", ["wait_for=many", "wait_for=-1", "timeout=forever", "contact=1"])
async def test_an_invalid_query_is_refused(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"/simulator/signals?{query}") as response:
        assert response.status == 400
        assert query.partition("=")[0] in (await response.json())["error_message"]


async def test_signals_can_be_deleted(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    await signal(http, bearer)
    async with http.delete("/simulator/signals") as response:
        assert response.status == 204
    assert await listed(http) == []
    assert (await counts(http))["signal"] == {"202": 1}


async def test_requests_are_counted_by_endpoint_and_response(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    await signal(http, bearer)
    await signal(http, {})
    await signal(http, bearer, "100000000000")
    assert await counts(http) == {"token": {"200": 1}, "signal": {"202": 1, "401": 1, "404": 1}}


async def test_everything_but_tokens_can_be_cleared(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    await signal(http, bearer)
    async with http.post("/simulator/faults", json={"endpoint": "signal", "status": 500}) as response:
        assert response.status == 201
    async with http.delete("/simulator") as response:
        assert response.status == 204
    assert await counts(http) == {}
    assert await listed(http) == []
    assert await signal(http, bearer) == 202
