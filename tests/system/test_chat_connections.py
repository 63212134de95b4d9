"""The connection to the chat gateway: lost, cut, refused, and what is recovered afterwards."""

from __future__ import annotations

import pytest

from tests.harness.waiting import wait_for

from .chat_site import ChatSite


def opened(chats: ChatSite, customer: str) -> list[str]:
    """Return the events of the connections after the first one, without messages."""
    frames = chats.desk.frames(customer=customer, seconds=0)
    return [frame["type"] for frame in frames if frame["type"] not in ("AuthorizeCustomer", "SendMessage")]


def test_messages_said_while_there_is_no_connection_are_relayed_in_order(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.change_settings(down=True, page_size=2)
    chats.desk.drop()
    said = [f"message {number}" for number in range(7)]
    for text in said:
        chats.desk.say(chat.conversation, text)
    chats.desk.change_settings(down=False)
    chat.event("agent_message", 7)
    assert chat.texts == said
    assert opened(chats, chat.customer).count("LoadMoreMessages") >= 3


@pytest.mark.parametrize(("channel", "recovery"), [("messaging", "RecoverThread"), ("livechat", "RecoverLivechat")])
def test_thread_is_recovered_after_every_open(chats: ChatSite, channel: str, recovery: str) -> None:
    chat = chats.active(channel)
    for number in range(3):
        chats.desk.drop()
        chats.desk.frames(type=recovery, customer=chat.customer, wait_for=number + 1)
        chat.reported(f"message {number}", number + 1)
    assert opened(chats, chat.customer) == ["ReconnectConsumer", recovery] * 3
    assert chat.texts == [f"message {number}" for number in range(3)]
    assert chat.kinds.count("agent_joined") == 1


@pytest.mark.parametrize("limit", ["idle_seconds", "connection_seconds"])
def test_connection_that_the_gateway_closes_in_time_is_replaced(chats: ChatSite, limit: str) -> None:
    chats.desk.change_settings(**{limit: 0.5})
    chat = chats.start()
    chat.event("handoff_accepted")
    chats.desk.frames(type="RecoverThread", customer=chat.customer, wait_for=2)
    chats.desk.change_settings(**{limit: 600})
    chat.accept()
    chats.desk.frames(type="RecoverThread", customer=chat.customer, wait_for=3)
    chat.reported("Hello")
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]


def test_join_transfer_and_close_that_were_missed_are_reported(chats: ChatSite) -> None:
    chat = chats.active()
    conversation = chat.conversation
    chats.desk.change_settings(down=True)
    chats.desk.drop()
    chats.desk.act(conversation, "transfer", to=103)
    chats.desk.say(conversation, "Good bye")
    chats.desk.close(conversation)
    chats.desk.change_settings(down=False)
    assert chat.event("chat_ended")["by"] == "agent"
    assert chat.texts == ["Good bye"]


def test_refused_reconnection_is_followed_by_an_authorization(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.fail("event", type="ReconnectConsumer", error="ConsumerReconnectionFailed")
    chats.desk.drop()
    chats.desk.frames(type="AuthorizeCustomer", customer=chat.customer, wait_for=2)
    chat.reported("Hello")


def test_bad_authorization_does_not_reconnect_endlessly(chats: ChatSite) -> None:
    chat = chats.start("members")
    assert chat.event("handoff_failed") == {"reason": "not_authorized"}
    assert chat.ended()["result"] == "upstream_error"
    wait_for(lambda: not chats.desk.connections(), "the connection to close")


@pytest.mark.parametrize("code", ["InconsistentData", "SdkVersionNotSupported"])
def test_authorization_that_can_never_succeed_fails_at_once(chats: ChatSite, code: str) -> None:
    chats.desk.fail("event", type="AuthorizeCustomer", error=code)
    chat = chats.start()
    assert chat.event("handoff_failed", seconds=3) == {"reason": "refused"}


def test_secured_chat_waits_for_the_settings_of_its_channel_until_the_queue_timeout(chats: ChatSite) -> None:
    before, chat = chats.count(), chats.start("secured", project="uninformed")
    chats.faults(before, "not_connected", 3)
    assert chat.record()["state"] == "requested"
    assert chat.event("handoff_failed") == {"reason": "unreachable"}


def test_unknown_channel_fails_at_once(chats: ChatSite) -> None:
    assert chats.start("unknown").event("handoff_failed", seconds=3) == {"reason": "unknown_channel"}
    chats.availability("unknown", "unknown")


def test_gateway_that_stays_down_leaves_the_chat_requested_and_then_fails_it(chats: ChatSite) -> None:
    before = chats.count()
    chat = chats.start(project="unreachable")
    assert chat.record()["state"] == "requested"
    assert chat.event("handoff_failed") == {"reason": "unreachable"}
    assert chat.ended()["state"] == "failed"
    chats.faults(before, "not_connected")


def test_gateway_that_comes_back_in_time_takes_the_chat(chats: ChatSite) -> None:
    chats.desk.change_settings(down=True)
    before = chats.count()
    chat = chats.start()
    chats.faults(before, "not_connected", 2)
    assert chat.record()["state"] == "requested"
    chats.desk.change_settings(down=False)
    chat.event("handoff_accepted")
    assert chat.record()["state"] == "queued"


def test_failed_check_of_the_channel_does_not_stop_a_start(chats: ChatSite) -> None:
    chats.cxone.fail("chat_availability", status=503, times=1)
    assert chats.availability("unknown")["reason"]
    chats.start().event("handoff_accepted")


def test_secured_session_gets_a_token_and_another_one_before_it_expires(chats: ChatSite) -> None:
    chats.desk.change_settings(token_seconds=2)
    chat = chats.active("secured")
    wait_for(lambda: opened(chats, chat.customer).count("RecoverThread") >= 2, "two renewals")
    types = {frame["type"] for frame in chats.desk.frames(customer=chat.customer, seconds=0)}
    assert types == {"SendMessage", "RecoverThread"}  # no frame to register
    chat.reported("Hello")
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]


def test_expired_token_of_a_secured_session_is_replaced(chats: ChatSite) -> None:
    chat = chats.active("secured")
    chats.desk.expire_tokens()
    chats.desk.drop()
    chats.desk.frames(type="RecoverThread", customer=chat.customer, wait_for=1)
    chat.reported("Hello")


def test_token_service_that_refuses_the_customer_fails_the_handoff(chats: ChatSite) -> None:
    chats.cxone.fail("chat_token", status=401, times=3)
    assert chats.start("secured").event("handoff_failed") == {"reason": "not_authorized"}
