"""A chat over the chat gateway, from its request to its end."""

from __future__ import annotations

import pytest

from .chat_site import CHANNELS, CLIENT, ChatSite

TRANSCRIPT = [{"role": "customer", "text": "I want a person"}, {"role": "bot", "text": "One moment"}]


def test_chat_goes_from_request_to_end_and_all_books_agree(chats: ChatSite) -> None:
    before = chats.count()
    chat = chats.start(transcript=TRANSCRIPT, reason="billing", data={"order": "7"}, utterance="")
    chat.event("handoff_accepted")
    conversation = chats.desk.chat(contains="I want a person", state="waiting")
    (summary,) = chats.desk.chats(id=conversation)
    assert summary["fields"] == {"reason": "billing", "order": "7"}
    chats.desk.accept(conversation, 102)
    agent = chat.event("agent_joined")["agent"]
    assert agent["id"] == "102"
    assert agent["name"]
    chat.say("Hello?", id="first")
    assert chat.event("message_delivered") == {"id": "first"}
    chats.desk.say(conversation, "How can I help?")
    assert chat.event("agent_message")["text"] == "How can I help?"
    chats.desk.close(conversation)
    assert chat.event("chat_ended") == {"by": "agent", "reason": "closed"}
    texts = [message["text"] for message in chats.desk.messages(conversation)]
    assert texts == ["Customer: I want a person\nBot: One moment", "Hello?", "How can I help?"]
    assert chat.kinds == ["handoff_accepted", "agent_joined", "message_delivered", "agent_message", "chat_ended"]
    record = chat.ended()
    assert (record["state"], record["ended_by"], record["result"]) == ("ended", "agent", "success")
    assert [(each["direction"], each["text"]) for each in record["messages"]] == [
        ("to_agent", "Hello?"),
        ("to_bot", "How can I help?"),
    ]
    state = chat.project.request(f"handoff_state?id={chat.id}").json()["data"]
    assert (state["handoff_state"], state["contact_id"]) == ("handoff_completed", conversation)
    labels = {"client": CLIENT, "project": "support"}
    assert chats.grown(before, "sipbridge_chats_total", result="success", reason="closed", **labels) == 1
    for direction in ("to_agent", "to_bot"):
        name = "sipbridge_chat_messages_total"
        assert chats.grown(before, name, direction=direction, delivery="delivered", **labels) == 1


def test_typing_reaches_both_sides(chats: ChatSite) -> None:
    chat = chats.active()
    assert chat.post("typing", {"state": "started"}) == 202
    (conversation,) = chats.desk.chats(contains=chat.id, customer_typing="true", wait_for=1)
    assert chat.post("typing", {"state": "stopped"}) == 202
    assert chats.desk.chats(contains=chat.id, customer_typing="false", wait_for=1)
    chats.desk.act(conversation["id"], "typing", state="started")
    assert chat.event("agent_typing") == {"state": "started"}
    chats.desk.act(conversation["id"], "typing", state="stopped")
    assert chat.event("agent_typing", 2) == {"state": "stopped"}
    assert [event.data["sequence"] for event in chat.seen if event.name == "agent_typing"] == [None, None]


def test_typing_of_the_human_agent_may_come_without_a_user(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("frame", type="SenderTypingStarted", remove=["data.user", "data.direction"])
    chats.desk.act(chat.conversation, "typing", state="started")
    assert chat.event("agent_typing") == {"state": "started"}


def test_transfer_with_no_assignee_in_its_middle_is_not_an_end(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.act(chat.conversation, "transfer", to=103, via_queue=True, seconds=0.1)
    chat.event("agent_left")
    assert chat.event("agent_joined", 2)["agent"]["id"] == "103"
    assert chat.record()["state"] == "active"
    chat.reported("I take over.")


def test_direct_transfer_shows_the_other_human_agent(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.act(chat.conversation, "transfer", to=102)
    assert chat.event("agent_joined", 2)["agent"]["id"] == "102"
    assert chat.payloads("agent_left") == []


def test_human_agent_who_leaves_is_not_an_end(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.act(chat.conversation, "leave")
    chat.event("agent_left")
    chat.say("Is anybody there?")
    assert chat.at_desk(1) == ["Is anybody there?"]
    chats.desk.accept(chat.conversation, 103)
    assert chat.event("agent_joined", 2)["agent"]["id"] == "103"


def test_queue_position_is_passed_on_until_a_human_agent_has_joined(chats: ChatSite) -> None:
    first, second = chats.start("livechat"), chats.start("livechat")
    assert first.event("queue_status") == {"position_in_queue": 1}
    assert second.event("queue_status") == {"position_in_queue": 2}
    first.accept()
    assert second.event("queue_status", 2) == {"position_in_queue": 1}
    second.accept()
    queue = {"consumerContact": {"id": second.conversation}, "positionInQueue": 9}
    frame = {"eventId": "x", "eventType": "SetPositionInQueue", "data": queue}
    chats.desk.push(customer=second.customer, frame=frame)
    second.reported("Hello")
    assert second.payloads("queue_status")[-1] == {"position_in_queue": 1}


@pytest.mark.parametrize("by", ["bot", "customer"])
def test_end_of_a_livechat_ends_the_contact(chats: ChatSite, by: str) -> None:
    chat = chats.active("livechat")
    conversation = chat.conversation
    chat.say("That is all.")
    chat.end(by)
    assert chat.event("chat_ended")["by"] == by
    assert chats.desk.chats(id=conversation, state="closed", wait_for=1)[0]["closed_by"] == "customer"
    assert chats.desk.frames(type="EndContact", customer=chat.customer)[0]["result"] == "ok"
    assert chat.at_desk(2) == ["That is all.", "The chat has ended."]


def test_end_of_a_messaging_chat_is_shown_to_the_human_agent(chats: ChatSite) -> None:
    chat = chats.active()
    chat.say("Good bye")
    chat.end()
    assert chat.event("chat_ended") == {"by": "bot", "reason": "bot_ended"}
    assert chat.at_desk(2) == ["Good bye", "The chat has ended."]


@pytest.mark.parametrize("status", ["pending", "escalated", "resolved"])
def test_status_other_than_closed_changes_nothing(chats: ChatSite, status: str) -> None:
    chat = chats.active()
    chats.desk.act(chat.conversation, "status", status=status)
    chat.reported("Still here.")
    assert chat.record()["state"] == "active"


@pytest.mark.parametrize("channel", ["messaging", "livechat"])
def test_contact_that_is_closed_in_the_queue_is_a_failed_handoff(chats: ChatSite, channel: str) -> None:
    before, chat = chats.count(), chats.start(channel)
    chat.event("handoff_accepted")
    chats.desk.close(chat.conversation)
    assert chat.event("handoff_failed") == {"reason": "closed"}
    record = chat.ended()
    assert (record["state"], record["ended_by"], record["handoff"]["state"]) == ("failed", "bridge", "handoff_failed")
    assert chats.grown(before, "sipbridge_chats_total", result="upstream_error", reason="closed") == 1


def test_trashed_contact_is_an_end_and_late_messages_revive_nothing(chats: ChatSite) -> None:
    chat = chats.active()
    conversation = chat.conversation
    chats.desk.act(conversation, "status", status="trashed")
    assert chat.event("chat_ended")["by"] == "agent"
    chats.desk.say(conversation, "One more thing", after_close=True)
    assert chat.ended()["state"] == "ended"
    assert chat.post("messages", {"text": "Wait!"}) == 409


def test_livechat_without_human_agents_fails_as_offline(chats: ChatSite) -> None:
    chats.desk.change_channel(CHANNELS["livechat"], online=False)
    try:
        chats.availability("offline", "livechat")
        chat = chats.start("livechat")
        assert chat.event("handoff_failed") == {"reason": "offline"}
        assert chats.desk.chats(contains=chat.id) == []
    finally:
        chats.desk.change_channel(CHANNELS["livechat"], online=True)
    chats.availability("online", "livechat")


def test_custom_fields_are_cut_to_1024_characters(chats: ChatSite) -> None:
    chat = chats.start(data={"order": "x" * 1025, "link": "short"}, reason="returns")
    chat.event("handoff_accepted")
    (summary,) = chats.desk.chats(contains=chat.id)
    assert summary["fields"] == {"reason": "returns", "order": "x" * 1024, "link": "short"}


def test_custom_fields_go_with_the_first_message_only(chats: ChatSite) -> None:
    chat = chats.active(reason="returns")
    chat.say("Hello")
    sent = chats.desk.frames(type="SendMessage", customer=chat.customer, wait_for=2)
    fields = [each["frame"]["payload"]["data"]["consumerContact"]["customFields"] for each in sent]
    assert fields == [[{"ident": "reason", "value": "returns"}], []]


def test_text_of_10000_characters_arrives_whole(chats: ChatSite) -> None:
    chat = chats.active()
    text = "".join(chr(0x4E00 + number) for number in range(10_000))
    chat.say(text)
    assert chat.at_desk(1) == [text]
