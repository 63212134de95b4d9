"""Faults of the client's events and of the frames to the client."""

from __future__ import annotations

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID
from sipbridge.simulators.cxone.digital.messages import Content

from .chat_client import connected, fault, new_id, post, type_of

ADA, *_ = DEMO_AGENTS


@pytest.mark.parametrize(
    ("when", "recorded", "received"),
    [
        ("before_record", 0, []),
        ("before_ack", 1, []),
        ("after_ack", 1, ["CaseCreated", "MessageSent", "MessageCreated", "Acknowledged"]),
    ],
)
async def test_a_socket_is_cut_around_the_acknowledgement(
    http: aiohttp.ClientSession, desk: Desk, when: str, recorded: int, received: list[str]
) -> None:
    await fault(http, "event", type="SendMessage", drop=when)
    async with connected(http) as client:
        await client.send("SendMessage", client.message(new_id()))
        assert await client.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
        assert [type_of(frame) for frame in client.received] == received
    assert len(desk.conversations()) == recorded


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("AuthorizeCustomer", "ConsumerAuthorizationFailed"),
        ("AuthorizeCustomer", "SdkVersionNotSupported"),
        ("SendMessage", "SendingMessageFailed"),
        ("RecoverThread", "RecoveringThreadFailed"),
        ("RecoverLivechat", "RecoveringLivechatFailed"),
        ("RefreshToken", "TokenRefreshingFailed"),
        ("ReconnectConsumer", "ConsumerReconnectionFailed"),
        ("ReconnectConsumer", "InconsistentData"),
    ],
)
async def test_an_event_gets_an_error_instead(http: aiohttp.ClientSession, desk: Desk, event: str, code: str) -> None:
    async with connected(http) as client:
        await fault(http, "event", type=event, error=code)
        event_id = new_id()
        frame = client.frame(event, client.message(new_id()), event_id)
        await client.socket.send_json(frame)
        reply = await client.next()
    assert (reply["eventId"], reply["error"]["errorCode"]) == (event_id, code)
    assert desk.conversations() == []


async def test_an_acknowledgement_is_late_or_missing(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await fault(http, "event", type="SendMessage", latency_seconds=0.1)
        await client.send("SendMessage", client.message(thread))
        assert await client.types() == ["CaseCreated", "MessageSent", "MessageCreated"]
        assert type_of(await client.next()) == "Acknowledged"
        await fault(http, "event", type="SendMessage", no_ack=True)
        await client.send("SendMessage", client.message(thread))
        assert await client.types() == ["MessageSent", "MessageCreated"]
    assert len(desk.conversations()[0].messages) == 2


async def test_a_push_is_lost_repeated_or_late(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        await client.types()
        [chat] = desk.conversations()
        chat.accept(ADA)
        await client.types()
        await fault(http, "frame", type="MessageCreated", lose=True)
        chat.say(Content.of_text("one"))
        assert await client.types() == []
        await fault(http, "frame", type="MessageCreated", duplicates=2)
        said = chat.say(Content.of_text("two"))
        found = [await client.push("MessageCreated") for _ in range(3)]
        assert {frame["data"]["message"]["id"] for frame in found} == {said.id}
        assert len({frame["eventId"] for frame in found}) == 1
        await fault(http, "frame", type="MessageCreated", latency_seconds=0.1)
        chat.say(Content.of_text("three"))
        assert await client.types() == []
        assert await client.push("MessageCreated")


async def test_a_push_comes_after_the_next(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        await client.types()
        [chat] = desk.conversations()
        chat.accept(ADA)
        await client.types()
        await fault(http, "frame", type="MessageCreated", swap=True)
        for text in ("one", "two"):
            chat.say(Content.of_text(text))
        found = [await client.push("MessageCreated") for _ in range(2)]
    assert [frame["data"]["message"]["messageContent"]["payload"]["text"] for frame in found] == ["two", "one"]


async def test_a_push_goes_by_way_of_a_link(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await fault(http, "frame", type="MessageCreated", in_s3=True)
        await client.say(new_id(), "Hello")
        stored = (await client.push("EventInS3"))["data"]
    assert stored["originEvent"] == {"eventObject": "Message", "eventType": "MessageCreated"}
    async with http.get(stored["s3Object"]["url"]) as response:
        frame = await response.json()
    assert frame["data"]["message"]["messageContent"]["payload"]["text"] == "Hello"


async def test_a_message_is_cut_and_the_rest_is_at_the_rest_api(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread, text = new_id(), "x" * 100
    async with connected(http) as client:
        await fault(http, "frame", type="MessageCreated", truncate=True)
        await client.say(thread, text)
        message = (await client.push("MessageCreated"))["data"]["message"]
        path = f"/chat/1.0/brand/{BRAND_ID}/messages/{message['id']}"
        data = {"thread": {"idOnExternalPlatform": thread}, "url": path}
        reply = await client.request("GenerateAuthorizationToken", data)
    assert message["hasAdditionalMessageContent"] is True
    assert message["messageContent"]["payload"]["text"] == "x" * 20
    assert desk.conversations()[0].messages[0].content.text == text
    token = reply["postback"]["data"]["authorizationToken"]["token"]
    async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
        assert (await response.json())["messageContent"]["payload"]["text"] == text


async def test_fields_of_a_push_are_removed_and_replaced(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await fault(
            http,
            "frame",
            type="MessageCreated",
            remove=["data.message.hasAdditionalMessageContent", "data.nothing.here"],
            replace={"data.message.messageContent.payload.text": "<script>", "data.nothing.here": 1},
        )
        await client.say(new_id(), "Hello")
        data = (await client.push("MessageCreated"))["data"]
        assert "hasAdditionalMessageContent" not in data["message"]
        assert data["message"]["messageContent"]["payload"]["text"] == "<script>"
        [chat] = desk.conversations()
        assert chat.messages[0].content.text == "Hello"
        await fault(http, "frame", type="SenderTypingStarted", remove=["data.user", "data.direction"])
        chat.accept(ADA)
        chat.show_agent_typing(on=True)
        typing = (await client.push("SenderTypingStarted"))["data"]
        assert sorted(typing) == ["brand", "case", "channel", "thread"]


async def test_any_text_comes_instead_of_a_push(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await fault(http, "frame", type="CaseCreated", raw="no json")
        await client.send("SendMessage", client.message(new_id()))
        assert (await client.socket.receive()).data == "no json"
        assert await client.types() == ["MessageSent", "MessageCreated", "Acknowledged"]


async def test_a_heartbeat_gets_no_response(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await fault(http, "frame", type="pong", lose=True)
        await client.socket.send_str('{"action":"heartbeat"}')
        assert await client.types() == []


async def test_a_fault_is_for_its_customer_thread_and_channel(http: aiohttp.ClientSession) -> None:
    first, second = new_id(), new_id()
    async with connected(http) as client, connected(http, customer="customer-2") as other:
        for only in ({"customer": "customer-2"}, {"thread": second}, {"channel": "chat_other"}):
            await fault(http, "event", type="SendMessage", error="SendingMessageFailed", **only)
        assert "error" not in await client.say(first)
        assert "error" in await client.say(second)
        assert "error" in await other.say(new_id())
        assert "error" not in await other.say(new_id())


async def test_a_fault_ends_after_its_times_or_when_deleted(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await fault(http, "event", error="InconsistentData", times=2)
        await fault(http, "event", error="SendingMessageFailed", times=None)
        codes = [(await client.say(new_id()))["error"]["errorCode"] for _ in range(4)]
        assert codes == ["InconsistentData"] * 2 + ["SendingMessageFailed"] * 2
        async with http.get("/simulator/digital/faults") as response:
            assert await response.json() == {
                "faults": [{"on": "event", "error": "SendingMessageFailed", "times": None}]
            }
        async with http.delete("/simulator/digital/faults") as response:
            assert response.status == 204
        assert "error" not in await client.say(new_id())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "on"),
        ({"on": "connect"}, "has no effect"),
        ({"on": "connect", "error": "InconsistentData"}, "error does not apply to connect"),
        ({"on": "event", "duplicates": 1}, "duplicates does not apply to event"),
        ({"on": "frame", "drop": "before_ack"}, "drop does not apply to frame"),
        ({"on": "event", "drop": "sometimes"}, "drop"),
    ],
)
async def test_an_invalid_fault_is_refused(http: aiohttp.ClientSession, body: object, words: str) -> None:
    async with http.post("/simulator/digital/faults", json=body) as response:
        assert response.status == 400
        assert words in (await response.json())["error_message"]


@pytest.mark.parametrize(
    ("body", "received"),
    [
        ({"frame": {"eventType": "FireProactiveAction", "data": {}}}, {"eventType": "FireProactiveAction", "data": {}}),
        ({"raw": '"text"'}, "text"),
    ],
)
async def test_any_frame_can_be_pushed(http: aiohttp.ClientSession, body: dict[str, object], received: object) -> None:
    async with connected(http) as client, connected(http, customer="customer-2") as other:
        assert await post(http, "push", body | {"customer": "customer-1"}) == {"pushed": 1}
        assert await client.next() == received
        assert await other.types() == []
