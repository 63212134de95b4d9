from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.conversation import State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.events import Mark
from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT, MESSAGING
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


async def test_later_messages_belong_to_the_same_case(http: aiohttp.ClientSession, desk: Desk) -> None:
    thread = new_id()
    async with connected(http) as client:
        for text in ("one", "two"):
            await client.say(thread, text)
        assert await client.types() == ["CaseCreated", *["MessageSent", "MessageCreated"] * 2]
    [chat] = desk.conversations()
    assert [message.content.text for message in chat.messages] == ["one", "two"]


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


async def test_deleted_conversations_leave_no_thread(http: aiohttp.ClientSession) -> None:
    thread = new_id()
    async with connected(http) as client:
        await client.say(thread)
        async with http.delete("/simulator") as response:
            assert response.status == 204
        data = {"thread": {"idOnExternalPlatform": thread}}
        assert (await client.request("RecoverThread", data))["error"]["errorCode"] == "RecoveringThreadFailed"


async def test_events_are_announced_without_their_content(http: aiohttp.ClientSession, announced: list[str]) -> None:
    async with connected(http) as client:
        await client.say(new_id(), "my secret")
        await client.request("Nonsense", {})
    assert any("message of the customer, 9 characters" in line for line in announced)
    assert any("chat event 'Nonsense'" in line for line in announced)
    assert "secret" not in "".join(announced)
