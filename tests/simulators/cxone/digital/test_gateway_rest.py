from __future__ import annotations

import base64
import io
import json
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, LIVECHAT, MESSAGING, SECURED, Channel, Hours

from .chat_client import connected, new_id

ADA, *_ = DEMO_AGENTS


def path(channel: str = MESSAGING.id, brand: int = BRAND_ID) -> str:
    return f"/chat/1.0/brand/{brand}/channel/{channel}"


async def get(http: aiohttp.ClientSession, path: str, token: str = "") -> tuple[int, Any]:
    async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status, await response.json()


async def upload(http: aiohttp.ClientSession, file: bytes, **changes: object) -> tuple[int, Any]:
    body = {"content": base64.b64encode(file).decode(), "fileName": "a b.png", "mimeType": "image/png"} | changes
    async with http.post(f"{path()}/attachment", data=io.BytesIO(json.dumps(body).encode())) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("channel", [MESSAGING, LIVECHAT, SECURED])
async def test_a_channel_has_its_configuration(http: aiohttp.ClientSession, channel: Channel) -> None:
    status, config = await get(http, f"{path(channel.id)}?locale=en_US")
    assert status == 200
    assert config["name"] == channel.name
    assert config["availability"] == {"status": "online"}
    assert config["isLiveChat"] is channel.is_livechat
    assert config["isAuthorizationEnabled"] is False
    assert config["preContactForm"] is None
    features = config["settings"]["features"]
    assert features["securedSessions"] is channel.secured_sessions
    assert features["isFeatureQueueCountingEnabled"] is channel.is_livechat
    limits = config["settings"]["fileRestrictions"]
    assert limits["allowedFileSize"] == 40
    assert limits["allowedFileTypes"][0] == {"mimeType": "image/*", "description": "Images"}
    assert limits["isAttachmentsEnabled"] is True


@pytest.mark.parametrize("suffix", ["", "/availability"])
@pytest.mark.parametrize("wrong", [path("chat_unknown"), path(brand=4321)])
async def test_an_unknown_brand_or_channel_is_404(http: aiohttp.ClientSession, wrong: str, suffix: str) -> None:
    status, body = await get(http, wrong + suffix)
    assert (status, body["error"]["errorCode"]) == (404, "NotFound")


async def test_a_channel_is_offline_if_switched_off_or_outside_its_hours(http: aiohttp.ClientSession) -> None:
    assert await get(http, f"{path()}/availability") == (200, {"status": "online"})
    for change in ({"online": False}, {"online": True, "hours": {"opens": "00:00", "closes": "00:00"}}):
        async with http.patch(f"/simulator/digital/channels/{MESSAGING.id}", json=change) as response:
            assert response.status == 200
        assert await get(http, f"{path()}/availability") == (200, {"status": "offline"})


@pytest.mark.parametrize(
    ("opens", "closes", "time", "is_open"),
    [
        ("08:00", "18:00", "07:59", False),
        ("08:00", "18:00", "08:00", True),
        ("08:00", "18:00", "18:00", False),
        ("22:00", "06:00", "23:30", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "12:00", False),
    ],
)
def test_hours_may_pass_midnight(opens: str, closes: str, time: str, *, is_open: bool) -> None:
    assert Hours(opens=opens, closes=closes).include(datetime.fromisoformat(f"2026-01-01T{time}:00")) is is_open


async def test_an_attachment_is_stored_behind_a_link(http: aiohttp.ClientSession) -> None:
    status, body = await upload(http, b"\x89PNG")
    assert status == 200
    assert body["fileUrl"].endswith("/a%20b.png")
    async with http.get(body["fileUrl"]) as response:
        assert (await response.read(), response.content_type) == (b"\x89PNG", "image/png")


async def test_a_file_of_a_type_that_is_not_allowed_is_refused_with_the_limits(http: aiohttp.ClientSession) -> None:
    status, body = await upload(http, b"MZ", mimeType="application/x-msdownload")
    assert status == 400
    assert body["allowedFileSize"] == 40
    assert [each["mimeType"] for each in body["allowedFileTypes"]] == ["image/*", "application/pdf", "text/plain"]


@pytest.mark.parametrize(
    ("change", "content", "status"),
    [
        ({"max_file_megabytes": 1}, b"x" * 1024 * 1024, 200),
        ({"max_file_megabytes": 1}, b"x" * (1024 * 1024 + 1), 400),
        ({"attachments": False}, b"x", 400),
    ],
)
async def test_the_limits_of_attachments_apply(
    http: aiohttp.ClientSession, change: dict[str, object], content: bytes, status: int
) -> None:
    async with http.patch(f"/simulator/digital/channels/{MESSAGING.id}", json=change) as response:
        assert response.status == 200
    assert (await upload(http, content))[0] == status


@pytest.mark.parametrize("wrong", [{"content": "%"}, {"content": None}, {"fileName": ""}, {"mimeType": 1}])
async def test_an_invalid_upload_is_refused(http: aiohttp.ClientSession, wrong: dict[str, object]) -> None:
    status, body = await upload(http, b"x", **wrong)
    assert (status, body["error"]["errorCode"]) == (400, "InconsistentData")


async def test_an_unknown_link_is_404(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/simulator/objects/{new_id()}/a.png") as response:
        assert response.status == 404


async def test_a_whole_message_is_read_with_a_token_for_its_path(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread, "one")
        await client.say(thread, "two")
        first, second = desk.conversations()[0].messages
        paths = [f"/chat/1.0/brand/{BRAND_ID}/messages/{each.id}" for each in (first, second)]
        place = {"thread": {"idOnExternalPlatform": thread}}
        reply = await client.request("GenerateAuthorizationToken", {**place, "url": paths[0]})
        token = reply["postback"]["data"]["authorizationToken"]["token"]
        for wrong in ("/elsewhere", paths[0].replace("1234", "4321")):
            reply = await client.request("GenerateAuthorizationToken", {**place, "url": wrong})
            assert reply["error"]["errorCode"] == "InconsistentData"
    status, message = await get(http, paths[0], token)
    assert (status, message["messageContent"]["payload"]["text"]) == (200, "one")
    assert message["id"] == first.id
    assert (await get(http, paths[1], token))[0] == 401
    assert (await get(http, paths[0]))[0] == 401


async def test_a_message_that_does_not_exist_is_404(http: aiohttp.ClientSession) -> None:
    thread, wanted = new_id(), f"/chat/1.0/brand/{BRAND_ID}/messages/{new_id()}"
    async with connected(http) as client:
        await client.say(thread)
        data = {"thread": {"idOnExternalPlatform": thread}, "url": wanted}
        reply = await client.request("GenerateAuthorizationToken", data)
    assert (await get(http, wanted, reply["postback"]["data"]["authorizationToken"]["token"]))[0] == 404


async def test_the_faults_of_endpoints_apply_to_the_rest_api(http: aiohttp.ClientSession) -> None:
    for endpoint, url in (("chat_availability", f"{path()}/availability"), ("chat_channel", path())):
        async with http.post("/simulator/faults", json={"endpoint": endpoint, "status": 503}) as response:
            assert response.status == 201
        async with http.get(url) as response:
            assert response.status == 503
        assert (await get(http, url))[0] == 200
    async with http.post("/simulator/faults", json={"endpoint": "chat_file", "status": 403}) as response:
        assert response.status == 201
    link = (await upload(http, b"x"))[1]["fileUrl"]
    for expected in (403, 200):
        async with http.get(link) as response:
            assert response.status == expected
    async with http.get("/simulator/requests") as response:
        assert (await response.json())["chat_availability"] == {"503": 1, "200": 1}
