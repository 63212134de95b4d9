"""Threads, cases and sockets: when a chat goes on, when it ends, and who gets the pushes."""

from __future__ import annotations

import aiohttp

from sipbridge.simulators.cxone.digital.conversation import State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT
from sipbridge.simulators.cxone.digital.messages import Content

from .chat_client import connected, new_id

ADA, *_ = DEMO_AGENTS


async def test_later_messages_belong_to_the_same_case(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        for text in ("one", "two"):
            await client.say(thread, text)
        assert await client.types() == ["CaseCreated", *["MessageSent", "MessageCreated"] * 2]
    [chat] = desk.conversations()
    assert [message.content.text for message in chat.messages] == ["one", "two"]


async def test_a_message_may_come_after_the_close(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        [chat] = desk.conversations()
        chat.accept(ADA)
        chat.set_status("closed", by="agent")
        await client.types()
        chat.say(Content.of_text("One more thing"), after_close=True)
        data = (await client.push("MessageCreated"))["data"]
    assert data["case"]["status"] == "closed"
    assert data["message"]["messageContent"]["payload"]["text"] == "One more thing"


async def test_a_messaging_thread_goes_on_with_a_new_case_after_the_close(
    http: aiohttp.ClientSession, desk: Desk
) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        desk.conversations()[0].set_status("closed", by="agent")
        await client.say(thread)
        types = await client.types()
    first, second = desk.conversations()
    assert (first.state, second.state, second.thread_id) == (State.CLOSED, State.WAITING, thread)
    assert types.count("CaseCreated") == 2
    assert second.fields == {"reason": "billing"}


async def test_a_livechat_needs_another_thread_after_the_close(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http, LIVECHAT.id) as client:
        await client.say(thread)
        desk.conversations()[0].set_status("closed", by="agent")
        assert (await client.say(thread))["error"]["errorCode"] == "SendingMessageFailed"
        assert "error" not in await client.say(new_id())


async def test_a_livechat_shows_its_position_in_the_queue(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http, LIVECHAT.id) as first, connected(http, LIVECHAT.id, "customer-2") as second:
        await first.say(new_id())
        thread = new_id()
        await second.say(thread)
        waiting, next_in_turn = desk.conversations()
        assert (await second.push("SetPositionInQueue"))["data"]["positionInQueue"] == 2
        waiting.accept(ADA)
        data = (await second.push("SetPositionInQueue"))["data"]
    assert data["positionInQueue"] == 1
    assert data["consumerContact"] == {"id": next_in_turn.id, "threadIdOnExternalPlatform": thread}
    assert data["isAnyAgentOnlineForQueue"] is True
    assert data["routingQueue"]["id"]


async def test_messaging_shows_no_position(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        assert "SetPositionInQueue" not in await client.types()


async def test_the_customer_ends_a_livechat(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http, LIVECHAT.id) as client:
        await client.say(thread)
        [chat] = desk.conversations()
        data = {"thread": {"idOnExternalPlatform": thread}, "contact": {"id": "1"}}
        assert (await client.request("EndContact", data))["error"]["errorCode"] == "InconsistentData"
        assert "error" not in await client.request("EndContact", data | {"contact": {"id": chat.id}})
        assert (await client.push("CaseStatusChanged"))["data"]["case"]["status"] == "closed"
    assert (chat.state, chat.closed_by) == (State.CLOSED, "customer")


async def test_messaging_has_no_end_by_the_customer(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        data = {"thread": {"idOnExternalPlatform": thread}, "contact": {"id": desk.conversations()[0].id}}
        assert (await client.request("EndContact", data))["error"]["errorCode"] == "InconsistentData"


async def test_an_offline_livechat_takes_no_new_chat_and_continues_those_that_are_open(
    http: aiohttp.ClientSession,
) -> None:
    thread = new_id()
    async with connected(http, LIVECHAT.id) as client:
        await client.say(thread)
        async with http.patch(f"/simulator/digital/channels/{LIVECHAT.id}", json={"online": False}) as response:
            assert response.status == 200
        assert "error" not in await client.say(thread)
        assert (await client.say(new_id()))["error"]["errorCode"] == "SendingMessageFailed"


async def test_a_thread_of_another_customer_is_refused(http: aiohttp.ClientSession) -> None:
    thread = new_id()
    async with connected(http) as first, connected(http, customer="customer-2") as second:
        await first.say(thread)
        assert (await second.say(thread))["error"]["errorCode"] == "SendingMessageFailed"
        data = {"thread": {"idOnExternalPlatform": thread}}
        assert (await second.request("RecoverThread", data))["error"]["errorCode"] == "RecoveringThreadFailed"
        assert await second.types() == []


async def test_every_socket_of_a_customer_gets_the_pushes(http: aiohttp.ClientSession) -> None:
    async with connected(http) as first, connected(http) as second, connected(http, customer="customer-2") as other:
        await first.say(new_id())
        assert await second.types() == ["CaseCreated", "MessageSent", "MessageCreated"]
        assert await other.types() == []


async def test_a_socket_that_is_not_authorized_gets_no_pushes(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client, connected(http, authorize=False) as other:
        await client.say(new_id())
        assert await other.types() == []


async def test_deleted_conversations_leave_no_thread(http: aiohttp.ClientSession) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        async with http.delete("/simulator") as response:
            assert response.status == 204
        data = {"thread": {"idOnExternalPlatform": thread}}
        assert (await client.request("RecoverThread", data))["error"]["errorCode"] == "RecoveringThreadFailed"
