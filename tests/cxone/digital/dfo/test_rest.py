from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sipbridge.chats.ports import Availability
from sipbridge.config import DfoChannelConfig
from sipbridge.cxone.digital.dfo.frames import Person
from sipbridge.cxone.digital.dfo.rest import ChannelInfo, GatewayRest
from sipbridge.errors import AttachmentError, ChannelRefused, HttpError
from sipbridge.http import HttpClient
from tests.cxone.support import Clock
from tests.http.server import Server, serving

PERSON = Person("customer", "visitor", "Ann", "")
FILES = {
    "allowedFileSize": 2,
    "allowedFileTypes": [{"mimeType": "image/*", "description": "Images"}],
    "isAttachmentsEnabled": True,
}
CHANNEL = {
    "isLiveChat": True,
    "settings": {"features": {"securedSessions": True}, "fileRestrictions": FILES},
}

OpenRest = Callable[..., object]


def response(body: object, status: int = 200) -> bytes:
    """Return an HTTP response with JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


@asynccontextmanager
async def rest(
    http: HttpClient, *responses: bytes, clock: Clock | None = None, **channel: object
) -> AsyncIterator[tuple[GatewayRest, Server]]:
    """Run a server with these responses, and the REST client of a channel at it."""
    async with serving(*responses) as server:
        urls = {"gateway_url": "ws://127.0.0.1:1", "rest_url": server.url, "oauth_url": server.url}
        config = DfoChannelConfig.model_validate(
            {"type": "dfo", "brand_id": 1234, "channel_id": "chat_1", **urls, **channel}
        )
        yield GatewayRest(config, http, http, clock=clock or Clock()), server


async def test_settings_of_the_channel_are_read_and_kept_for_five_minutes(http: HttpClient) -> None:
    clock = Clock()
    async with rest(http, response(CHANNEL), response({}), clock=clock) as (client, server):
        expected = ChannelInfo(livechat=True, secured=True, max_file_bytes=2 * 1024 * 1024, file_types=("image/*",))
        assert await client.info() == expected
        clock.advance(299)
        assert await client.info() == expected
        assert len(server.requests) == 1
        clock.advance(2)
        assert await client.info() == ChannelInfo(livechat=False, secured=False)
    head = server.requests[0].decode()
    assert head.startswith("GET /chat/1.0/brand/1234/channel/chat_1?locale=en_US HTTP/1.1")
    assert "x-sdk-platform: web" in head


async def test_kind_in_the_configuration_wins(http: HttpClient) -> None:
    async with rest(http, response(CHANNEL), livechat=False) as (client, _):
        assert (await client.info()).livechat is False


@pytest.mark.parametrize("status", [400, 404])
async def test_unknown_channel_is_refused(http: HttpClient, status: int) -> None:
    async with rest(http, response({}, status)) as (client, _):
        with pytest.raises(ChannelRefused) as caught:
            await client.info()
        assert caught.value.reason == "unknown_channel"


@pytest.mark.parametrize("answer", [response({}, 503), response(b"<html>"), response([])])
async def test_failed_request_for_the_settings_is_not_kept(http: HttpClient, answer: bytes) -> None:
    async with rest(http, answer, response(CHANNEL)) as (client, _):
        with pytest.raises(HttpError):
            await client.info()
        assert (await client.info()).livechat is True


async def test_chats_that_need_the_settings_at_once_wait_for_one_request(http: HttpClient) -> None:
    async with rest(http, response({}, 503), response(CHANNEL)) as (client, server):
        asking = [asyncio.create_task(client.info()) for _ in range(100)]
        await asyncio.sleep(0)
        asking[0].cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [HttpError] * 99
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (response({"status": "online"}), "online"),
        (response({"status": "OFFLINE"}), "offline"),
        (response({"status": "maybe"}), "unknown"),
        (response({}, 500), "unknown"),
        (response(b"no json"), "unknown"),
    ],
)
async def test_availability_is_never_an_error(http: HttpClient, answer: bytes, status: str) -> None:
    async with rest(http, answer) as (client, _):
        found = await client.availability()
        assert found.status == status
        assert found == Availability("online") or found.reason


async def test_token_of_a_secured_session(http: HttpClient) -> None:
    async with rest(http, response({"accessToken": "t", "expiresIn": 60})) as (client, server):
        token = await client.session_token(PERSON)
        assert (token.value, token.seconds) == ("t", 60)
        expected = b"POST /oauth/token?brandId=1234&channelId=chat_1&visitorId=visitor HTTP/1.1"
        assert server.requests[0].startswith(expected)


@pytest.mark.parametrize("status", [401, 403])
async def test_customer_that_the_token_service_refuses(http: HttpClient, status: int) -> None:
    async with rest(http, response({"error": {"errorCode": "x"}}, status)) as (client, _):
        with pytest.raises(ChannelRefused) as caught:
            await client.session_token(PERSON)
        assert caught.value.reason == "not_authorized"


@pytest.mark.parametrize("answer", [response({}), response({"accessToken": None}), response({}, 500)])
async def test_token_service_that_gives_no_token(http: HttpClient, answer: bytes) -> None:
    async with rest(http, answer) as (client, _):
        with pytest.raises(HttpError):
            await client.session_token(PERSON)


async def test_upload_returns_the_link_at_cxone(http: HttpClient) -> None:
    async with rest(http, response({"fileUrl": "https://cxone/1"})) as (client, _):
        uploaded = await client.upload(b"content", "a.png", "image/png")
        assert (uploaded.url, uploaded.name, uploaded.media_type) == ("https://cxone/1", "a.png", "image/png")


async def test_refused_upload(http: HttpClient) -> None:
    async with rest(http, response(FILES, 400)) as (client, _):
        with pytest.raises(AttachmentError) as caught:
            await client.upload(b"content", "a.exe", "application/x")
        assert caught.value.reason == "attachment_refused"


@pytest.mark.parametrize("answer", [response({}), response({}, 502)])
async def test_upload_without_a_link_is_an_error(http: HttpClient, answer: bytes) -> None:
    async with rest(http, answer) as (client, _):
        with pytest.raises(HttpError):
            await client.upload(b"content", "a.png", "image/png")


async def test_body_of_a_message_is_requested_with_its_token(http: HttpClient) -> None:
    async with rest(http, response({"id": "7"})) as (client, server):
        assert await client.message(client.message_path("7"), "t") == {"id": "7"}
        head = server.requests[0].decode()
        assert head.startswith("GET /chat/1.0/brand/1234/messages/7 HTTP/1.1")
        assert "Authorization: Bearer t" in head


async def test_large_event_is_requested_without_authorization(http: HttpClient) -> None:
    async with rest(http, response({"eventType": "X"})) as (client, server):
        assert await client.event(f"{server.url}/1") == {"eventType": "X"}
        assert b"Authorization" not in server.requests[0]
