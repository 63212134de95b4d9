"""The time limits of chats."""

from __future__ import annotations

import pytest

from .chat_site import ChatSite


def test_no_human_agent_in_time_is_a_timeout(chats: ChatSite) -> None:
    before = chats.count()
    chat = chats.start(project="impatient")
    chat.event("handoff_timeout")
    record = chat.ended()
    assert (record["state"], record["handoff"]["state"], record["reason"]) == (
        "timed_out",
        "handoff_failed",
        "no_agent",
    )
    assert chats.grown(before, "sipbridge_chats_total", reason="no_agent") == 1
    assert chat.at_desk(1) == ["The chat has ended."]


def test_inactive_customer_is_warned_and_the_human_agent_sees_why_the_chat_ends(chats: ChatSite) -> None:
    chat = chats.active(project="idle")
    assert chat.event("inactivity_warning") == {"seconds_left": 1}
    chat.say("I am here")
    assert chat.event("inactivity_warning", 2) == {"seconds_left": 1}
    assert chat.event("chat_ended")["by"] == "inactivity"
    assert chat.at_desk(2) == ["I am here", "The customer has been inactive; this chat was closed."]


@pytest.mark.parametrize("channel", ["messaging", "livechat"])
def test_chat_expires(chats: ChatSite, channel: str) -> None:
    chat = chats.active(channel, project="short")
    conversation = chat.conversation
    assert chat.event("chat_ended")["by"] == "expiry"
    if channel == "livechat":
        assert chats.desk.chats(id=conversation, state="closed", wait_for=1)
    else:
        assert chat.at_desk(1) == ["The chat has ended."]
