"""After a reconnect nothing is replayed: the client asks for the thread."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT, MESSAGING
from sipbridge.simulators.cxone.digital.messages import Content

from .chat_client import ChatClient, connected, new_id

ADA, *_ = DEMO_AGENTS


def place(thread: str) -> dict[str, Any]:
    return {"thread": {"idOnExternalPlatform": thread}}


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["messageContent"]["payload"]["text"] for message in messages]


async def recover(client: ChatClient, event: str, data: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    reply = await client.request(event, data)
    assert "error" not in reply, reply
    return reply["postback"]["data"]


@pytest.mark.parametrize(
    ("channel", "event", "reply"),
    [
        (MESSAGING.id, "RecoverThread", "ThreadRecovered"),
        (LIVECHAT.id, "RecoverLivechat", "LivechatRecovered"),
    ],
)
async def test_a_thread_is_recovered_with_the_messages_that_were_missed(
    http: aiohttp.ClientSession, desk: Desk, channel: str, event: str, reply: str
) -> None:
    thread = new_id()
    async with connected(http, channel) as client:
        await client.say(thread, "one")
    [chat] = desk.conversations()
    chat.accept(ADA)
    chat.say(Content.of_text("two"))
    async with connected(http, channel) as client:
        answer = await client.request(event, place(thread))
        assert answer["postback"]["eventType"] == reply
        data = answer["postback"]["data"]
        assert await client.types() == []
    assert texts(data["messages"]) == ["two", "one"]
    assert data["messagesScrollToken"] == ""
    assert data["contact"]["id"] == chat.id
    assert data["contact"]["status"] == "open"
    assert data["contact"]["threadIdOnExternalPlatform"] == thread
    assert data["contact"]["customFields"] == [{"ident": "reason", "value": "billing"}]
    assert data["customer"]["customFields"] == [{"ident": "tier", "value": "gold"}]
    assert data["inboxAssignee"]["id"] == data["ownerAssignee"]["id"] == ADA.id
    assert data["thread"]["idOnExternalPlatform"] == thread
    assert data["thread"]["canAddMoreMessages"] is True
    assert [each["eventType"] for each in data["contactHistory"]] == [
        "CaseCreated",
        "CaseStatusChanged",
        "CaseInboxAssigneeChanged",
    ]


async def test_the_close_that_was_missed_is_recovered(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http, LIVECHAT.id) as client:
        await client.say(thread)
    desk.conversations()[0].set_status("closed", by="agent")
    async with connected(http, LIVECHAT.id) as client:
        assert (await recover(client, "RecoverLivechat", place(thread)))["contact"]["status"] == "closed"
        reply = await client.request("RecoverLivechat", {})
        assert reply["error"]["errorCode"] == "RecoveringLivechatFailed"


async def test_without_a_thread_the_last_is_recovered(http: aiohttp.ClientSession) -> None:
    first, second = new_id(), new_id()
    async with connected(http) as client:
        for thread in (first, second):
            await client.say(thread)
        data = await recover(client, "RecoverThread", {})
    assert data["thread"]["idOnExternalPlatform"] == second


@pytest.mark.parametrize(
    ("channel", "event", "code"),
    [
        (MESSAGING.id, "RecoverThread", "RecoveringThreadFailed"),
        (MESSAGING.id, "RecoverLivechat", "RecoveringLivechatFailed"),
        (LIVECHAT.id, "RecoverLivechat", "RecoveringLivechatFailed"),
        (LIVECHAT.id, "RecoverThread", "RecoveringThreadFailed"),
    ],
)
@pytest.mark.parametrize("data", [{}, {"thread": {"idOnExternalPlatform": new_id()}}], ids=["any", "one"])
async def test_a_thread_that_does_not_exist_is_not_recovered(
    http: aiohttp.ClientSession, channel: str, event: str, code: str, data: dict[str, Any]
) -> None:
    async with connected(http, channel) as client:
        assert (await client.request(event, data))["error"]["errorCode"] == code


async def test_older_messages_are_loaded_page_by_page(http: aiohttp.ClientSession) -> None:
    async with http.patch("/simulator/digital/settings", json={"page_size": 2}) as response:
        assert response.status == 200
    thread = new_id()
    async with connected(http) as client:
        for number in range(5):
            await client.say(thread, str(number))
        data = await recover(client, "RecoverThread", place(thread))
        pages, token = [data["messages"]], data["messagesScrollToken"]
        await client.say(thread, "meanwhile")
        while token:
            more = place(thread) | {"scrollToken": token, "oldestMessageDatetime": pages[-1][-1]["createdAt"]}
            data = await recover(client, "LoadMoreMessages", more)
            pages.append(data["messages"])
            token = data["scrollToken"]
    assert [texts(page) for page in pages] == [["4", "3"], ["2", "1"], ["0"]]


@pytest.mark.parametrize("token", ["", "nonsense", "Zm9yZWlnbiAy"])
async def test_a_wrong_scroll_token_is_refused(http: aiohttp.ClientSession, token: str) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        data = place(thread) | {"scrollToken": token, "oldestMessageDatetime": "2026-01-01T00:00:00+00:00"}
        assert (await client.request("LoadMoreMessages", data))["error"]["errorCode"] == "InconsistentData"


async def test_threads_are_listed_named_and_archived(http: aiohttp.ClientSession) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread, "last words")
        renamed = {"thread": {"idOnExternalPlatform": thread, "threadName": "Invoices"}}
        assert "error" not in await client.request("UpdateThread", renamed)
        [listed] = (await recover(client, "FetchThreadList", {}))["threads"]
        metadata = await recover(client, "LoadThreadMetadata", place(thread))
        assert (await client.request("ArchiveThread", place(thread)))["postback"]["eventType"] == "ThreadArchived"
        assert (await client.say(thread))["error"]["errorCode"] == "SendingMessageFailed"
        assert (await recover(client, "RecoverThread", place(thread)))["thread"]["canAddMoreMessages"] is False
    assert (listed["idOnExternalPlatform"], listed["threadName"]) == (thread, "Invoices")
    assert texts([metadata["lastMessage"]]) == ["last words"]
    assert metadata["ownerAssignee"] is None


async def test_messages_over_several_cases_are_recovered(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread, "one")
        desk.conversations()[0].set_status("closed", by="agent")
        await client.say(thread, "two")
        data = await recover(client, "RecoverThread", place(thread))
    assert texts(data["messages"]) == ["two", "one"]
    assert data["contact"]["id"] == desk.conversations()[1].id
