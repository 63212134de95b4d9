"""The simulator's settings of the gateway, and what it has recorded."""

from __future__ import annotations

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, MESSAGING

from .chat_client import connected, fault, new_id


async def test_channels_are_listed_created_changed_and_deleted(http: aiohttp.ClientSession) -> None:
    path, created = "/simulator/digital/channels", "chat_55555555-5555-4555-8555-555555555555"
    async with http.put(f"{path}/{created}", json={"name": "Other", "is_livechat": True}) as response:
        assert response.status == 200
    async with http.patch(f"{path}/{created}", json={"name": "Changed"}) as response:
        assert (await response.json())["is_livechat"] is True
    async with http.get(path) as response:
        listed = await response.json()
    assert listed["brand_id"] == BRAND_ID
    assert {each["id"]: each["name"] for each in listed["channels"]}[created] == "Changed"
    async with connected(http, created) as client:
        async with http.delete(f"{path}/{created}") as response:
            assert response.status == 204
        assert (await client.say(new_id()))["error"]["errorCode"] == "InconsistentData"
    async with http.patch(f"{path}/{created}", json={}) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("settings", {"idle_seconds": 0}),
        ("settings", {"unknown": 1}),
        (f"channels/{MESSAGING.id}", {"hours": {"opens": "8", "closes": "18:00"}}),
        (f"channels/{MESSAGING.id}", {"unknown": 1}),
    ],
)
async def test_an_invalid_setting_is_refused(http: aiohttp.ClientSession, path: str, body: object) -> None:
    async with http.patch(f"/simulator/digital/{path}", json=body) as response:
        assert response.status == 400
    async with http.patch(f"/simulator/digital/{path}", data="no json") as response:
        assert response.status == 400


async def test_everything_recorded_can_be_cleared(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        await fault(http, "event", error="InconsistentData")
        async with http.delete("/simulator") as response:
            assert response.status == 204
        for path in ("faults", "frames"):
            async with http.get(f"/simulator/digital/{path}") as response:
                assert (await response.json())[path] == []
        assert "error" not in await client.say(new_id())
