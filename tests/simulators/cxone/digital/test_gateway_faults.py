"""Faults of connections, of the client's events, and of the frames to the client."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway import connection
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, MESSAGING
from sipbridge.simulators.cxone.digital.messages import Content

from .chat_client import ChatClient, connected, new_id, query, type_of

ADA, *_ = DEMO_AGENTS


async def post(http: aiohttp.ClientSession, path: str, body: object) -> Any:  # noqa: ANN401 (JSON)
    async with http.post(f"/simulator/digital/{path}", json=body) as response:
        assert response.status in (200, 201), await response.text()
        return await response.json()


async def fault(http: aiohttp.ClientSession, on: str, **what: object) -> None:
    await post(http, "faults", {"on": on, **what})


async def settings(http: aiohttp.ClientSession, **changes: object) -> None:
    async with http.patch("/simulator/digital/settings", json=changes) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize("status", [403, 503])
async def test_a_socket_is_refused_with_a_status(http: aiohttp.ClientSession, status: int) -> None:
    await fault(http, "connect", status=status)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/", params=query())
    assert refused.value.status == status
    async with connected(http) as client:
        assert await client.types() == []


async def test_a_connection_is_reset_before_the_upgrade(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", reset=True, times=2)  # aiohttp's client connects again once
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.ws_connect("/", params=query())
    async with connected(http):
        pass


async def test_a_gateway_that_is_down_resets_connections_until_it_is_up(http: aiohttp.ClientSession) -> None:
    await settings(http, down=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.ws_connect("/", params=query())
    await settings(http, down=False)
    async with connected(http):
        pass
    async with http.get("/simulator/digital/counts") as response:
        counts = (await response.json())["connect"]
    assert counts["101"] == 1
    assert counts["reset"] >= 1


async def test_a_slow_upgrade_is_delayed(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", latency_seconds=0.1)
    started_at = time.monotonic()
    async with connected(http):
        assert time.monotonic() - started_at >= 0.1


async def test_an_idle_socket_is_closed(http: aiohttp.ClientSession) -> None:
    await settings(http, idle_seconds=0.1)
    async with connected(http) as client:
        for _ in range(4):
            await asyncio.sleep(0.05)
            assert await client.types() == []
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY


async def test_an_old_socket_is_closed(http: aiohttp.ClientSession) -> None:
    await settings(http, connection_seconds=0.1)
    async with connected(http) as client:
        started_at = time.monotonic()
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY
        assert time.monotonic() - started_at < 2


async def test_one_socket_is_closed_after_a_time(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", close_after_seconds=0.05)
    async with connected(http) as first, connected(http) as second:
        await first.closed()
        assert await second.types() == []


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


@pytest.mark.parametrize(("body", "code"), [({}, 1006), ({"code": 1012}, 1012)])
async def test_open_sockets_are_cut_or_closed(http: aiohttp.ClientSession, body: dict[str, object], code: int) -> None:
    async with connected(http) as client, connected(http, customer="customer-2") as other:
        async with http.get("/simulator/digital/connections") as response:
            assert (await response.json())["count"] == 2
        assert await post(http, "drop", body | {"customer": "customer-1"}) == {"dropped": 1}
        assert await client.closed() == code
        assert await other.types() == []


async def test_a_closed_socket_gets_nothing_more_and_is_cut_if_the_client_does_not_close_it(
    http: aiohttp.ClientSession, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSING_SECONDS", 0.1)
    async with http.ws_connect("/", params=query(), autoclose=False) as socket:
        client = ChatClient(socket, MESSAGING.id, "customer-1")
        await client.authorize()
        await client.say(new_id())
        await client.types()
        await post(http, "drop", {"code": 1012})
        desk.conversations()[0].accept(ADA)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        async with asyncio.timeout(5):
            while await open_sockets(http):
                pass


async def open_sockets(http: aiohttp.ClientSession) -> int:
    async with http.get("/simulator/digital/connections") as response:
        return int((await response.json())["count"])


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
