"""The frames of the chat gateway: rich, large, repeated, out of order, unknown and invalid ones."""

from __future__ import annotations

from typing import Any

import pytest

from .chat_site import ChatSite, PlacedChat

HTML = "<b onclick=alert(1)>Eve</b>"


def push(chats: ChatSite, chat: PlacedChat, kind: str, **data: object) -> None:
    """Send a push to the chat's customer."""
    frame = {"eventId": "1", "eventObject": "Case", "eventType": kind, "createdAt": "now", "data": data}
    chats.desk.push(customer=chat.customer, frame=frame)


def test_large_event_is_fetched_and_the_order_stays(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("frame", type="MessageCreated", in_s3=True)
    chats.cxone.fail("chat_file", latency_seconds=0.3)
    for number in range(3):
        chats.desk.say(chat.conversation, f"message {number}")
    chat.event("agent_message", 3)
    assert chat.texts == [f"message {number}" for number in range(3)]


def test_large_event_that_cannot_be_fetched_is_recovered_in_its_order(chats: ChatSite) -> None:
    before, chat = chats.count(), chats.active()
    chats.desk.fail("frame", type="MessageCreated", in_s3=True)
    chats.cxone.fail("chat_file", status=500)
    chats.desk.say(chat.conversation, "large")
    chats.faults(before, "event_not_fetched")
    chat.reported("small", 2)
    assert chat.texts == ["large", "small"]


def test_large_replies_are_fetched_too(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.change_settings(max_frame_bytes=1024, page_size=3)
    chats.desk.drop()
    for number in range(4):
        chats.desk.say(chat.conversation, f"{number} {'x' * 600}")
    chat.event("agent_message", 4)
    assert [text[0] for text in chat.texts] == ["0", "1", "2", "3"]
    chat.say("Thanks")
    assert chat.at_desk(1) == ["Thanks"]


@pytest.mark.parametrize("missed", [False, True], ids=["pushed", "recovered"])
def test_shortened_message_is_fetched_whole(chats: ChatSite, missed: bool) -> None:  # noqa: FBT001 (a parameter)
    chat = chats.active()
    text = f"Your contract: {'x' * 500}."
    if missed:
        chats.desk.change_settings(down=True)
        chats.desk.drop()
    else:
        chats.desk.fail("frame", type="MessageCreated", truncate=True)
    chats.desk.say(chat.conversation, text)
    chats.desk.change_settings(down=False)
    assert chat.event("agent_message")["text"] == text


def test_shortened_message_that_cannot_be_fetched_at_first_arrives_whole(chats: ChatSite) -> None:
    before, chat = chats.count(), chats.active()
    chats.desk.fail("frame", type="MessageCreated", truncate=True)
    chats.cxone.fail("chat_message", status=503)
    chats.desk.say(chat.conversation, "Your contract and all that belongs to it")
    assert chat.event("agent_message")["text"] == "Your contract and all that belongs to it"
    chats.faults(before, "message_not_fetched")


def test_repeated_pushes_are_relayed_once(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("frame", duplicates=2, times=None)
    for number in range(3):
        chats.desk.say(chat.conversation, f"message {number}")
    chats.desk.act(chat.conversation, "transfer", to=102)
    chat.event("agent_joined", 2)
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]
    chats.desk.close(chat.conversation)
    chat.event("chat_ended")
    assert chat.texts == [f"message {number}" for number in range(3)]
    assert [kind for kind in chat.kinds if kind.startswith(("agent_j", "chat_"))] == ["agent_joined"] * 2 + [
        "chat_ended"
    ]


def test_events_in_disorder_are_all_relayed(chats: ChatSite) -> None:
    chats.desk.fail("frame", type="CaseCreated", swap=True)
    chat = chats.active()
    chats.desk.fail("frame", type="MessageCreated", swap=True)
    chats.desk.say(chat.conversation, "one")
    chats.desk.say(chat.conversation, "two")
    chat.event("agent_message", 2)
    assert sorted(chat.texts) == ["one", "two"]


@pytest.mark.parametrize(
    ("kind", "payload", "fallback", "text"),
    [
        (
            "QUICK_REPLIES",
            {"text": {"content": "Which?"}, "actions": [{"type": "REPLY_BUTTON", "text": "This", "postback": "1"}]},
            "Which?",
            "Which?\n- This",
        ),
        ("ADAPTIVE_CARD", {"card": {"body": []}}, "See the card.", "See the card."),
        ("HOLOGRAM", {"beam": 1}, "A hologram", "A hologram"),
    ],
)
def test_message_types_are_shown_as_text(
    chats: ChatSite, kind: str, payload: dict[str, Any], fallback: str, text: str
) -> None:
    chat = chats.active()
    chats.desk.act(chat.conversation, "messages", type=kind, payload=payload, fallback_text=fallback)
    assert chat.event("agent_message")["text"] == text


def test_unknown_events_change_nothing(chats: ChatSite) -> None:
    chat = chats.active()
    push(chats, chat, "FireProactiveAction", action={"actionId": "1"})
    push(chats, chat, "CaseToRoutingQueueAssignmentChanged")
    push(chats, chat, "MessageReadChanged", message={"id": "1"})
    chats.desk.act(chat.conversation, "mark", mark="seen_by_agent")
    chat.reported("Hello")
    assert chat.kinds == ["handoff_accepted", "agent_joined", "agent_message"]


def test_late_events_of_another_contact_change_nothing(chats: ChatSite) -> None:
    chat = chats.active()
    push(chats, chat, "CaseStatusChanged", case={"id": "1", "status": "closed"})
    push(chats, chat, "CaseInboxAssigneeChanged", case={"id": "1"}, inboxAssignee=None)
    chat.reported("Still here")
    assert chat.record()["state"] == "active"
    assert chat.payloads("agent_left") == []


@pytest.mark.parametrize(
    "raw",
    [
        "no json",
        '"ping"',
        "[]",
        "{}",
        "null",
        '{"eventId": 7, "postback": "x"}',
        '{"eventType": "MessageCreated"}',
        '{"eventType": "MessageCreated", "data": {"message": []}}',
        '{"eventType": "CaseInboxAssigneeChanged", "data": {"case": "x", "inboxAssignee": {"id": null}}}',
        '{"eventType": "EventInS3", "data": {}}',
        '{"eventType": "SetPositionInQueue", "data": {"positionInQueue": "first"}}',
        '{"message": "Internal server error", "connectionId": "x", "requestId": "y"}',
        '{"error": {"errorCode": "InconsistentData"}}',
        '{"error": {}}',
    ],
)
def test_invalid_frame_does_not_disturb_the_chat(chats: ChatSite, raw: str) -> None:
    chat = chats.active()
    chats.desk.push(customer=chat.customer, raw=raw)
    chat.reported("Hello")
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]
    assert chat.record()["state"] == "active"


def test_invalid_frames_are_counted_and_logged_without_their_content(chats: ChatSite) -> None:
    before, chat = chats.count(), chats.active()
    chats.desk.push(customer=chat.customer, raw="secret words of the customer")
    chats.faults(before, "bad_frame")
    chats.desk.push(customer=chat.customer, raw='{"error": {"errorCode": "Odd", "errorMessage": "secret words"}}')
    chats.faults(before, "gateway_error")
    log = chats.bridge.program.logged('"fault":"bad_frame"', '"fault":"gateway_error"')
    assert "secret words" not in log


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("MessageCreated", {"message": {}}),
        ("MessageCreated", {"message": {"id": "1", "direction": "outbound", "messageContent": {"type": "TEXT"}}}),
        ("CaseInboxAssigneeChanged", {}),
        ("CaseInboxAssigneeChanged", {"inboxAssignee": {"firstName": "Eve"}}),
        ("SetPositionInQueue", {"positionInQueue": "first"}),
    ],
)
def test_event_without_its_fields_is_counted_and_changes_nothing(
    chats: ChatSite, kind: str, data: dict[str, Any]
) -> None:
    before, chat = chats.count(), chats.active()
    push(chats, chat, kind, **data)
    chats.faults(before, "incomplete_event")
    chat.reported("Hello")
    assert chat.kinds == ["handoff_accepted", "agent_joined", "agent_message"]


def test_name_with_markup_is_counted_and_passed_on_as_it_is(chats: ChatSite) -> None:
    before = chats.count()
    chats.desk.fail("frame", type="CaseInboxAssigneeChanged", replace={"data.inboxAssignee.nickname": HTML}, times=None)
    chat = chats.start()
    chat.event("handoff_accepted")
    chats.desk.accept(chat.conversation)
    assert chat.event("agent_joined")["agent"]["name"] == HTML
    chat.reported("Hello")
    chats.faults(before, "markup")
    assert "onclick" not in chats.bridge.program.logged('"fault":"markup"')


def test_ids_match_in_any_letter_case(chats: ChatSite) -> None:
    chat = chats.active()
    frames = chats.desk.frames(type="SendMessage", customer=chat.customer)
    thread = frames[0]["frame"]["payload"]["data"]["thread"]["idOnExternalPlatform"].upper()
    replace = {"data.thread.idOnExternalPlatform": thread, "data.case.threadIdOnExternalPlatform": thread}
    chats.desk.fail("frame", type="MessageCreated", replace=replace)
    chat.reported("Hello")


def test_missing_fields_of_a_message_are_tolerated(chats: ChatSite) -> None:
    chat = chats.active()
    fields = ["createdAt", "authorUser", "attachments", "hasAdditionalMessageContent", "userStatistics", "id"]
    chats.desk.fail("frame", type="MessageCreated", remove=[f"data.message.{field}" for field in fields])
    chat.reported("Hello")


def test_flood_of_messages_is_relayed_in_order_and_holds_up_no_other_chat(chats: ChatSite) -> None:
    flooded, other = chats.active(), chats.active()
    conversation = flooded.conversation
    said = [f"message {number}" for number in range(400)]
    for text in said:
        chats.desk.say(conversation, text)
    for _ in range(50):
        chats.desk.act(conversation, "typing", state="started")
    other.reported("How can I help?")
    other.say("Hello")
    assert other.at_desk(1) == ["Hello"]
    flooded.event("agent_message", len(said), 60)
    assert flooded.texts == said
    flooded.say("Slower, please")
    assert flooded.at_desk(1) == ["Slower, please"]


def test_flood_of_frames_is_read_slowly_and_the_chat_goes_on(chats: ChatSite) -> None:
    before, flooded, other = chats.count(), chats.active(), chats.active()
    chats.desk.fail("frame", type="SenderTypingStarted", customer=flooded.customer, duplicates=100, times=None)
    for state in ("started", "stopped") * 15:
        chats.desk.act(flooded.conversation, "typing", state=state)
    chats.faults(before, "flooding")
    other.reported("How can I help?")
    flooded.reported("Still here.")
    flooded.say("Hello")
    assert flooded.at_desk(1) == ["Hello"]
