"""Messages, marks and custom fields: what the client sends, and what is pushed to it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.conversation import State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.events import Mark
from sipbridge.simulators.cxone.digital.gateway.channels import MESSAGING
from sipbridge.simulators.cxone.digital.messages import Attachment, Content, HumanAgent

from .chat_client import connected, new_id

ADA, BEN, _ = DEMO_AGENTS


async def test_the_first_message_creates_a_case_and_comes_back(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        data = client.message(thread, "Hello")
        reply = await client.request("SendMessage", data)
        assert "error" not in reply
        created, sent, message = [frame["data"] for frame in client.received]
        assert await client.types() == ["CaseCreated", "MessageSent", "MessageCreated"]
    [chat] = desk.conversations()
    assert created["case"] | {"createdAt": "", "statusUpdatedAt": ""} == {
        "id": chat.id,
        "threadIdOnExternalPlatform": thread,
        "status": "new",
        "createdAt": "",
        "statusUpdatedAt": "",
    }
    assert created["brand"] == {"id": 1234}
    assert created["channel"] == {"id": MESSAGING.id}
    assert sent["message"]["idOnExternalPlatform"] == data["idOnExternalPlatform"]
    assert "id" not in sent["message"]
    assert message["thread"] == {"idOnExternalPlatform": thread, "threadName": "Help"}
    assert message["message"]["id"] == chat.messages[0].id
    assert message["message"]["idOnExternalPlatform"] == data["idOnExternalPlatform"]
    assert message["message"]["direction"] == "inbound"
    assert message["message"]["messageContent"] == {"type": "TEXT", "payload": {"text": "Hello"}}
    assert message["message"]["hasAdditionalMessageContent"] is False
    assert message["message"]["authorUser"] is None
    assert message["message"]["authorEndUserIdentity"]["idOnExternalPlatform"] == "customer-1"
    assert (chat.kind, chat.customer.name, chat.state) == ("dfo", "Grace Hopper", State.WAITING)
    assert (chat.fields, chat.customer_fields) == ({"reason": "billing"}, {"tier": "gold"})


async def test_both_spellings_are_accepted(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http, spelling="customer") as client:
        assert "error" not in await client.say(new_id())
    [chat] = desk.conversations()
    assert (chat.fields, chat.customer_fields) == ({"reason": "billing"}, {"tier": "gold"})


async def test_attachments_and_postbacks_reach_the_desk(http: aiohttp.ClientSession, desk: Desk) -> None:
    file = {"url": "https://example.com/a.png", "friendlyName": "a.png", "mimeType": "image/png"}
    content = {"type": "TEXT", "payload": {"text": "", "postback": "yes"}}
    async with connected(http) as client:
        reply = await client.say(new_id(), attachments=[file], messageContent=content)
        assert "error" not in reply
        pushed = (await client.push("MessageCreated"))["data"]["message"]
    [message] = desk.conversations()[0].messages
    [attachment] = message.attachments
    assert (attachment.url, attachment.name, attachment.media_type) == tuple(file.values())
    assert message.content.postback == "yes"
    assert pushed["attachments"] == [file | {"id": attachment.id}]


async def test_an_outbound_message_is_of_the_brands_bot(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        thread = new_id()
        await client.say(thread)
        data = client.message(thread, "Welcome")
        del data["consumer"], data["consumerContact"]
        assert "error" not in await client.request("SendOutbound", data)
    [chat] = desk.conversations()
    assert [(each.direction, each.author) for each in chat.messages] == [("inbound", None), ("outbound", None)]


async def test_the_human_agents_actions_are_pushed(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        await client.types()
        [chat] = desk.conversations()
        chat.accept(ADA)
        chat.show_agent_typing(on=True)
        file = Attachment("https://example.com/a.pdf", "a.pdf", "application/pdf")
        said = chat.say(Content.of_text("Hi"), attachments=[file])
        chat.transfer(BEN)
        chat.leave()
        chat.set_status("closed", by="agent")
        assigned = [(await client.push("CaseInboxAssigneeChanged"))["data"] for _ in range(3)]
        message = (await client.push("MessageCreated"))["data"]["message"]
        typing = (await client.push("SenderTypingStarted"))["data"]
        assert await client.types() == ["CaseStatusChanged", "SenderTypingEnded", "CaseStatusChanged"]
    ada = {
        "id": 101,
        "firstName": "Ada",
        "surname": "Quinn",
        "nickname": None,
        "imageUrl": ADA.image_url,
        "isBotUser": False,
        "isSurveyUser": False,
    }
    assert assigned[0]["inboxAssignee"] == ada
    assert [each["inboxAssignee"] and each["inboxAssignee"]["id"] for each in assigned] == [101, 102, None]
    assert [each["previousInboxAssignee"] and each["previousInboxAssignee"]["id"] for each in assigned] == [
        None,
        101,
        102,
    ]
    assert [each["acceptRejectFlow"]["isTransfer"] for each in assigned] == [False, True, False]
    assert assigned[0]["routingQueue"] is None
    assert assigned[2]["routingQueue"]["id"]
    assert (typing["user"], typing["direction"]) == (ada, "outbound")
    assert (message["id"], message["direction"], message["authorUser"]) == (said.id, "outbound", ada)
    assert message["attachments"][0]["url"] == file.url


async def test_a_rich_message_has_its_fallback_text(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        await client.types()
        [chat] = desk.conversations()
        chat.accept(ADA)
        chat.say(Content("LIST_PICKER", {"text": {"content": "Which?"}}, "Which? A or B"))
        message = (await client.push("MessageCreated"))["data"]["message"]
    assert message["messageContent"] == {
        "type": "LIST_PICKER",
        "payload": {"text": {"content": "Which?"}},
        "fallbackText": "Which? A or B",
    }


@pytest.mark.parametrize(
    ("mark", "pushed", "where"),
    [
        ("delivered", "MessageDeliveryStatusChanged", None),
        ("seen_by_agent", "MessageReadChanged", "userStatistics"),
        ("seen_by_customer", "MessageReadChanged", "customerStatistics"),
    ],
)
async def test_marks_are_pushed(
    http: aiohttp.ClientSession, desk: Desk, mark: Mark, pushed: str, where: str | None
) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        [chat] = desk.conversations()
        chat.mark(chat.messages, mark)
        message = (await client.push(pushed))["data"]["message"]
    assert where is None or message[where]["seenAt"]


async def test_the_customers_typing_reaches_the_desk_and_comes_back_as_inbound(
    http: aiohttp.ClientSession, desk: Desk
) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        [chat] = desk.conversations()
        for event, is_typing in (("SenderTypingStarted", True), ("SenderTypingEnded", False)):
            await client.send(event, {"thread": {"idOnExternalPlatform": thread}})
            assert (await client.push(event))["data"]["direction"] == "inbound"
            assert chat.customer_is_typing is is_typing


async def test_typing_before_the_first_message_is_an_error(http: aiohttp.ClientSession) -> None:
    async with connected(http) as client:
        reply = await client.request("SenderTypingStarted", {"thread": {"idOnExternalPlatform": new_id()}})
        assert reply["error"]["errorCode"] == "InconsistentData"


async def test_custom_fields_are_set_later_and_cleared_at_the_close(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        [chat] = desk.conversations()
        place = {"thread": {"idOnExternalPlatform": thread}}
        for event, more, value in (
            ("SetConsumerContactCustomFields", place, "web"),
            ("SetContactCustomFields", {**place, "contact": {"id": chat.id}}, "mobile"),
        ):
            data = {**more, "customFields": [{"ident": "reason", "value": value}]}
            assert "error" not in await client.request(event, data)
            assert chat.fields["reason"] == value
        for event in ("SetConsumerCustomFields", "SetCustomerCustomFields"):
            data = {"customFields": [{"ident": "tier", "value": event}]}
            assert "error" not in await client.request(event, data)
            assert chat.customer_fields["tier"] == event
        wrong = {**place, "contact": {"id": "1"}, "customFields": []}
        assert (await client.request("SetContactCustomFields", wrong))["error"]["errorCode"] == "InconsistentData"
        chat.set_status("closed", by="agent")
    assert chat.fields == {}


@pytest.mark.parametrize("event", ["SendMessage", "SetConsumerContactCustomFields", "SetConsumerCustomFields"])
async def test_a_custom_field_has_at_most_1024_characters(http: aiohttp.ClientSession, desk: Desk, event: str) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        for length in (1024, 1025):
            fields = [{"ident": "reason", "value": "x" * length}]
            data: dict[str, Any] = client.message(thread, consumerContact={"customFields": fields})
            reply = await client.request(event, data | {"customFields": fields})
            assert ("error" in reply) == (length > 1024)
    assert len(desk.conversations()[0].messages) == (2 if event == "SendMessage" else 1)


async def test_the_same_message_id_creates_a_second_message(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread, message = new_id(), new_id()
    async with connected(http) as client:
        for _ in range(2):
            await client.say(thread, idOnExternalPlatform=message)
    [chat] = desk.conversations()
    assert [each.external_id for each in chat.messages] == [message, message]


async def test_the_same_message_id_creates_no_second_message_if_so_configured(
    http: aiohttp.ClientSession, desk: Desk
) -> None:
    async with http.patch("/simulator/digital/settings", json={"deduplicate": True}) as response:
        assert response.status == 200
    thread, message = new_id(), new_id()
    async with connected(http) as client:
        for _ in range(2):
            assert "error" not in await client.say(thread, idOnExternalPlatform=message)
    [chat] = desk.conversations()
    assert len(chat.messages) == 1


async def test_a_seen_event_marks_the_messages_of_the_human_agent(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        [chat] = desk.conversations()
        chat.accept(ADA)
        for event in ("MessageSeenByConsumer", "MessageSeenByCustomer"):
            said = chat.say(Content.of_text("Hi"))
            assert "error" not in await client.request(event, {"thread": {"idOnExternalPlatform": thread}})
            assert said.seen_by_customer_at is not None
    assert chat.messages[0].seen_by_customer_at is None


async def test_the_name_of_a_human_agent_is_sent_as_it_is(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http) as client:
        await client.say(new_id())
        desk.conversations()[0].accept(HumanAgent(7, "<b>Eve</b>", "&amp;"))
        assert (await client.push("CaseInboxAssigneeChanged"))["data"]["inboxAssignee"]["firstName"] == "<b>Eve</b>"


async def test_events_are_announced_without_their_content(http: aiohttp.ClientSession, announced: list[str]) -> None:
    async with connected(http) as client:
        await client.say(new_id(), "my secret")
        await client.request("Nonsense", {})
    assert any("message of the customer, 9 characters" in line for line in announced)
    assert any("chat event 'Nonsense'" in line for line in announced)
    assert "secret" not in "".join(announced)
