from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.messages import Attachment, Content

from .byoc_client import POST, a_message, a_token, running_box

ADA, *_ = DEMO_AGENTS


async def opened(http: aiohttp.ClientSession, desk: Desk) -> Conversation:
    """Return a contact that a human agent has accepted."""
    async with http.post(POST, json=a_message(), headers=await a_token(http)) as response:
        assert response.status == 201
    conversation = desk.conversations()[-1]
    conversation.accept(ADA)
    return conversation


async def calls(http: aiohttp.ClientSession, count: int, **filters: str) -> list[dict[str, Any]]:
    """Return the recorded calls, once there are so many."""
    params = {"wait_for": str(count), "timeout": "5", **filters}
    async with http.get("/simulator/byoc/calls", params=params) as response:
        body = await response.json()
    assert body["count"] >= count, body
    found: list[dict[str, Any]] = body["calls"]
    return found


async def test_the_first_call_has_no_token_and_gets_one_after_401(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http) as box:
        conversation = await opened(http, desk)
        message = conversation.say(Content.of_text("How can I help?"))
        recorded = await calls(http, 3)
        assert [(each["kind"], each["result"]) for each in recorded] == [
            ("message", "401"),
            ("token", "200"),
            ("message", "200"),
        ]
        assert recorded[1]["body"] == {}
        assert box.calls[1][1]["grant_type"] == "client_credentials"
        path, body = box.calls[2]
        assert path == f"/box/2.0/channel/{DEMO_CHANNEL.id}/outbound"
        assert body["messageContent"]["payload"]["text"] == "How can I help?"
        assert body["authorUser"]["id"] == ADA.id
        assert "id" not in body
        assert message.external_id == "box-3"
        assert message.delivered_at is not None


async def test_the_token_is_used_until_it_is_refused(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http) as box:
        conversation = await opened(http, desk)
        conversation.say(Content.of_text("one"))
        conversation.say(Content.of_text("two"))
        await calls(http, 2, result="200", kind="message")
        box.tokens.clear()
        conversation.say(Content.of_text("three"))
        await calls(http, 3, result="200", kind="message")
        texts = [body["messageContent"]["payload"]["text"] for path, body in box.calls if path.endswith("/outbound")]
        assert texts == ["one", "two", "three"]
        assert [path for path, _ in box.calls].count("token") == 2
    async with http.post("/simulator/byoc/expire_tokens") as response:
        assert response.status == 204


async def test_wrong_credentials_of_the_box_end_the_dance(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http, client_secret="wrong"):
        (await opened(http, desk)).say(Content.of_text("hello"))
        assert [each["result"] for each in await calls(http, 2)] == ["401", "401"]


async def test_the_older_form_goes_to_the_post(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http, outbound_api=False) as box:
        message = (await opened(http, desk)).say(Content.of_text("hello"))
        await calls(http, 1, result="200", kind="message")
        assert box.calls[-1][0] == "/box/1.0/posts/thread-1/messages"
        assert message.external_id == "box-3"


async def test_typing_is_reported_in_the_order_of_the_messages(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http) as box:
        conversation = await opened(http, desk)
        conversation.show_agent_typing(on=True)
        conversation.say(Content.of_text("hello"))
        await calls(http, 1, kind="message", result="200")
        reported = [body.get("senderAction", {}).get("action") for path, body in box.calls if path.startswith("/")]
        assert reported == ["isTypingOn", "isTypingOff", None]
        assert box.calls[2][0] == f"/box/1.0/channel/{DEMO_CHANNEL.id}/thread/thread-1/sender-action"


@pytest.mark.parametrize("fault", ["no response seen", "server error"])
async def test_a_call_is_repeated_if_the_channel_repeats(http: aiohttp.ClientSession, desk: Desk, fault: str) -> None:
    lost = int(fault == "no response seen")
    async with running_box(http, repeats=2, repeat_seconds=0, lose_responses=lost) as box:
        box.statuses = [] if lost else [503]
        (await opened(http, desk)).say(Content.of_text("hello"))
        assert [each["result"] for each in await calls(http, 3, kind="message")][1:] == [
            "lost" if lost else "503",
            "200",
        ]
        texts = [body["messageContent"] for path, body in box.calls if path.endswith("/outbound")]
        assert texts == [{"type": "TEXT", "payload": {"text": "hello"}}] * 2


@pytest.mark.parametrize(("status", "is_final"), [(503, False), (400, True)])
async def test_a_call_without_a_token_is_repeated_if_the_box_could_not_give_one(
    http: aiohttp.ClientSession, desk: Desk, status: int, *, is_final: bool
) -> None:
    async with running_box(http, repeats=2, repeat_seconds=0) as box:
        box.token_statuses = [status]
        message = (await opened(http, desk)).say(Content.of_text("hello"))
        expected = ["401", str(status)] if is_final else ["401", str(status), "401", "200", "200"]
        assert [each["result"] for each in await calls(http, len(expected))] == expected
        assert message.external_id.startswith("box-") != is_final


async def test_a_call_is_not_repeated_otherwise(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with running_box(http) as box:
        box.statuses = [503]
        conversation = await opened(http, desk)
        conversation.say(Content.of_text("one"))
        conversation.say(Content.of_text("two"))
        await calls(http, 1, kind="message", result="200")
        assert len([path for path, _ in box.calls if path.endswith("/outbound")]) == 2


async def test_without_a_box_nothing_is_called(http: aiohttp.ClientSession, desk: Desk) -> None:
    (await opened(http, desk)).say(Content.of_text("hello"))
    async with http.get("/simulator/byoc/calls") as response:
        assert (await response.json())["count"] == 0


async def test_a_box_that_is_down_is_recorded(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with http.patch(
        f"/simulator/byoc/channels/{DEMO_CHANNEL.id}", json={"box_url": "http://127.0.0.1:1/box"}
    ) as response:
        assert response.status == 200
    (await opened(http, desk)).say(Content.of_text("hello"))
    assert [each["result"] for each in await calls(http, 1)] == ["no_response"]


@pytest.mark.parametrize(("seconds", "status"), [(60, 200), (0, 403)])
async def test_the_link_of_an_attachment_expires(
    http: aiohttp.ClientSession, desk: Desk, seconds: int, status: int
) -> None:
    params = {"name": "a b.txt", "media_type": "text/plain"}
    async with http.post("/simulator/byoc/files", params=params, data=b"content") as response:
        url = (await response.json())["url"]
    async with http.get(url) as response:
        assert response.status == 403
    async with running_box(http, link_seconds=seconds) as box:
        (await opened(http, desk)).say(Content.of_text(""), attachments=[Attachment(url, "a b.txt", "text/plain")])
        await calls(http, 1, kind="message", result="200")
        (given,) = box.calls[-1][1]["attachments"]
    async with http.get(given["url"]) as response:
        assert response.status == status
        if status == 200:
            assert await response.read() == b"content"
            assert response.content_type == "text/plain"


async def test_channels_are_entered_and_deleted(http: aiohttp.ClientSession) -> None:
    async with http.put("/simulator/byoc/channels/other", json={"name": "Other"}) as response:
        assert (await response.json())["outbound_api"] is True
    async with http.get("/simulator/byoc/channels") as response:
        assert [each["id"] for each in (await response.json())["channels"]] == [DEMO_CHANNEL.id, "other"]
    async with http.delete("/simulator/byoc/channels/other") as response:
        assert response.status == 204
    async with http.patch("/simulator/byoc/channels/other", json={}) as response:
        assert response.status == 404
    async with http.patch(f"/simulator/byoc/channels/{DEMO_CHANNEL.id}", json={"box_url": "no url"}) as response:
        assert response.status == 400
