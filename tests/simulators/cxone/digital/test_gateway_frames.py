"""Frames with wrong or missing fields, and the limits of the socket."""

from __future__ import annotations

import copy
import json
from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import Desk

from .chat_client import connected, new_id


@pytest.mark.parametrize("text", ["", "no json", "[]", '"pong"', "null", "{"])
async def test_a_frame_that_is_not_a_json_object_gets_the_error_of_the_api_gateway(
    http: aiohttp.ClientSession, text: str
) -> None:
    async with connected(http) as client:
        await client.socket.send_str(text)
        error = await client.next()
        assert sorted(error) == ["connectionId", "message", "requestId"]
        assert "error" not in await client.say(new_id())


async def test_a_heartbeat_is_answered_by_pong_in_quotes(http: aiohttp.ClientSession) -> None:
    async with connected(http, authorize=False) as client:
        await client.socket.send_str('{"action":"heartbeat"}')
        message = await client.socket.receive()
        assert message.data == '"pong"'


async def test_an_unknown_event_is_an_error(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        error = (await client.request("FlyToTheMoon", {}))["error"]
        assert error["errorCode"] == "InconsistentData"
        assert sorted(error) == ["errorCode", "errorMessage", "transactionId"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("action", None),
        ("action", "register"),
        ("action", "outbound"),
        ("payload", None),
        ("payload.eventType", None),
        ("payload.brand", None),
        ("payload.brand.id", "1234"),
        ("payload.brand.id", 4321),
        ("payload.channel.id", "chat_other"),
        ("payload.consumerIdentity", None),
        ("payload.consumerIdentity.idOnExternalPlatform", None),
        ("payload.consumerIdentity.idOnExternalPlatform", "customer-2"),
        ("payload.consumerIdentity.firstName", 1),
        ("payload.visitor", "visitor"),
        ("payload.visit", []),
        ("payload.data", None),
        ("payload.data.thread", None),
        ("payload.data.thread.idOnExternalPlatform", "thread"),
        ("payload.data.thread.idOnExternalPlatform", "AAAAAAAA-1111-4111-8111-111111111111"),
        ("payload.data.thread.threadName", 1),
        ("payload.data.messageContent", None),
        ("payload.data.messageContent.type", None),
        ("payload.data.messageContent.type", "LIST_PICKER"),
        ("payload.data.messageContent.payload", None),
        ("payload.data.messageContent.payload.text", None),
        ("payload.data.messageContent.payload.text", ""),
        ("payload.data.messageContent.payload.postback", 1),
        ("payload.data.messageContent.parameters", 1),
        ("payload.data.idOnExternalPlatform", None),
        ("payload.data.idOnExternalPlatform", "message-1"),
        ("payload.data.consumer", None),
        ("payload.data.consumer.customFields", None),
        ("payload.data.consumerContact", None),
        ("payload.data.consumerContact.customFields", None),
        ("payload.data.consumerContact.customFields", [1]),
        ("payload.data.consumerContact.customFields", [{"value": "x"}]),
        ("payload.data.consumerContact.customFields", [{"ident": "x", "value": 1}]),
        ("payload.data.attachments", None),
        ("payload.data.attachments", [1]),
        ("payload.data.attachments", [{"url": "https://example.com"}]),
        ("payload.data.browserFingerprint", None),
    ],
)
async def test_a_wrong_or_missing_field_is_an_error(
    http: aiohttp.ClientSession, desk: Desk, path: str, value: object
) -> None:
    """None leaves the field out."""
    async with connected(http) as client:
        event_id = new_id()
        frame = copy.deepcopy(client.frame("SendMessage", client.message(new_id()), event_id))
        *parents, name = path.split(".")
        holder: dict[str, Any] = frame
        for parent in parents:
            holder = holder[parent]
        if value is None:
            del holder[name]
        else:
            holder[name] = value
        await client.socket.send_str(json.dumps(frame))
        reply = await client.next()
    assert reply["eventId"] == event_id
    assert reply["error"]["errorCode"] == "InconsistentData"
    assert desk.conversations() == []


@pytest.mark.parametrize("event_id", [None, "", "event-1", "AAAAAAAA-1111-4111-8111-111111111111"])
async def test_an_event_needs_an_id(http: aiohttp.ClientSession, event_id: str | None) -> None:
    async with connected(http) as client:
        await client.send("SendMessage", client.message(new_id()), eventId=event_id)
        assert (await client.next())["error"]["errorCode"] == "InconsistentData"


@pytest.mark.parametrize("value", [None, "text"])
async def test_a_custom_field_may_be_null(http: aiohttp.ClientSession, desk: Desk, value: str | None) -> None:
    fields = {"customFields": [{"ident": "reason", "value": value}]}
    async with connected(http) as client:
        assert "error" not in await client.say(new_id(), consumerContact=fields)
    assert desk.conversations()[0].fields == {"reason": value}


@pytest.mark.parametrize("name", ["authorization", "sdkPlatform", "sdkVersion"])
async def test_an_authorization_is_complete(http: aiohttp.ClientSession, name: str) -> None:
    async with connected(http, authorize=False) as client:
        assert (await client.authorize(**{name: None}))["error"]["errorCode"] == "InconsistentData"


async def test_a_button_of_android_is_a_postback(http: aiohttp.ClientSession, desk: Desk) -> None:
    content = {"type": "POSTBACK", "payload": {"text": "Yes"}, "postback": "yes"}
    async with connected(http) as client:
        assert "error" not in await client.say(new_id(), messageContent=content)
    assert desk.conversations()[0].messages[0].content.postback == "yes"


async def test_a_frame_over_128_kilobytes_closes_the_socket(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        assert "error" not in await client.say(new_id(), "x" * 120_000)
        await client.send("SendMessage", client.message(new_id(), "x" * 132_000))
        assert await client.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_frame_to_the_client_over_the_limit_is_fetched_by_a_link(http: aiohttp.ClientSession) -> None:
    thread, text = new_id(), "x" * 50_000
    async with connected(http) as client:
        for _ in range(3):
            await client.say(thread, text)
        await client.types()
        event_id = await client.send("RecoverThread", {"thread": {"idOnExternalPlatform": thread}})
        big = await client.push("EventInS3")
    assert big["eventId"] != event_id
    assert big["eventObject"] == "S3Object"
    assert big["data"]["originEvent"]["eventType"] == "ThreadRecovered"
    async with http.get(big["data"]["s3Object"]["url"]) as response:
        frame = await response.json()
    assert frame["eventId"] == event_id
    assert len(frame["postback"]["data"]["messages"]) == 3


async def test_received_frames_are_listed_with_their_results(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        thread = new_id()
        await client.say(thread, "first")
        await client.request("FlyToTheMoon", {})
    path = "/simulator/digital/frames"
    async with http.get(path, params={"customer": "customer-1", "wait_for": "3"}) as response:
        found = (await response.json())["frames"]
    assert [(each["type"], each["result"]) for each in found] == [
        ("AuthorizeCustomer", "ok"),
        ("SendMessage", "ok"),
        ("FlyToTheMoon", "InconsistentData"),
    ]
    assert found[1]["frame"]["payload"]["data"]["thread"]["idOnExternalPlatform"] == thread
    for query, count in (({"type": "SendMessage"}, 1), ({"result": "ok"}, 2), ({"channel": "other"}, 0)):
        async with http.get(path, params=query) as response:
            assert (await response.json())["count"] == count
    async with http.get("/simulator/digital/counts") as response:
        assert (await response.json())["connect"] == {"101": 1}
