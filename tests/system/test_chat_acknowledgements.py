"""Messages to the human agent whose acknowledgement is lost, late or an error."""

from __future__ import annotations

import pytest

from .chat_site import ChatSite


@pytest.mark.parametrize("moment", ["before_record", "before_ack", "after_ack"])
def test_connection_cut_at_a_message_neither_loses_nor_doubles_it(chats: ChatSite, moment: str) -> None:
    chat = chats.active()
    chats.desk.fail("event", type="SendMessage", drop=moment)
    for number in range(3):
        chat.say(f"message {number}", id=f"m{number}")
    assert chat.at_desk(3) == ["message 0", "message 1", "message 2"]
    chat.event("message_delivered", 3)
    assert [each["id"] for each in chat.payloads("message_delivered")] == ["m0", "m1", "m2"]


@pytest.mark.parametrize("moment", ["before_record", "before_ack", "after_ack"])
def test_connection_cut_at_the_first_message_opens_one_contact(chats: ChatSite, moment: str) -> None:
    chats.desk.fail("event", type="SendMessage", drop=moment)
    chat = chats.start()
    chat.event("handoff_accepted")
    chat.say("second")
    assert chat.at_desk(1) == ["second"]
    assert chat.kinds.count("handoff_accepted") == 1


def test_message_that_is_never_acknowledged_is_delivered_once_the_thread_shows_it(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("event", type="SendMessage", no_ack=True)
    chat.say("Hello", id="m1")
    assert chat.event("message_delivered", seconds=3) == {"id": "m1"}
    assert chat.at_desk(1) == ["Hello"]


def test_message_is_asked_for_before_it_is_sent_again(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("event", type="SendMessage", drop="before_ack")
    chat.say("Hello")
    chat.event("message_delivered")
    types = [each["type"] for each in chats.desk.frames(customer=chat.customer, seconds=0)]
    assert types == ["AuthorizeCustomer", "SendMessage", "SendMessage", "ReconnectConsumer", "RecoverThread"]


def test_slow_acknowledgement_keeps_the_order(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("frame", type="Acknowledged", latency_seconds=0.3)
    for number in range(4):
        chat.say(f"message {number}")
    assert chat.at_desk(4) == [f"message {number}" for number in range(4)]
    chat.event("message_delivered", 4)


def test_refused_message_is_reported_and_the_chat_goes_on(chats: ChatSite) -> None:
    before, chat = chats.count(), chats.active()
    chats.desk.fail("event", type="SendMessage", error="SendingMessageFailed")
    chat.say("refused", id="m1")
    chat.say("taken", id="m2")
    assert chat.event("message_failed") == {"id": "m1", "delivery": "failed", "reason": "refused"}
    assert chat.event("message_delivered") == {"id": "m2"}
    assert chat.at_desk(1) == ["taken"]
    chats.faults(before, "message_refused")
    deliveries = {each["id"]: each["delivery"] for each in chat.record()["messages"]}
    assert deliveries == {"m1": "failed", "m2": "delivered"}


def test_first_message_that_is_refused_fails_the_handoff(chats: ChatSite) -> None:
    chats.desk.fail("event", type="SendMessage", error="SendingMessageFailed")
    chat = chats.start()
    assert chat.event("handoff_failed") == {"reason": "refused"}
    assert chat.ended()["state"] == "failed"


def test_messages_posted_before_the_contact_exists_follow_the_first_one(chats: ChatSite) -> None:
    chats.desk.change_settings(down=True)
    chat = chats.start()
    chat.say("one")
    chat.say("two")
    chats.desk.change_settings(down=False)
    chat.event("message_delivered", 2)
    assert chat.at_desk(2) == ["one", "two"]


def test_message_in_flight_when_the_human_agent_closes_opens_no_other_contact(chats: ChatSite) -> None:
    chat = chats.active()
    conversation = chat.conversation
    chats.desk.change_settings(down=True)
    chats.desk.drop()
    chat.say("too late", id="m1")
    chats.desk.close(conversation)
    chats.desk.change_settings(down=False)
    assert chat.event("chat_ended")["by"] == "agent"
    assert chat.payloads("message_failed") == [{"id": "m1", "delivery": "failed", "reason": "chat_ended"}]
    assert len(chats.desk.chats(customer=chats.desk.chats(id=conversation)[0]["customer"]["id"])) == 1
