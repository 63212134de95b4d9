"""A customer who is handed off, and the events of the bridge."""

from __future__ import annotations

import re

import pytest
from aiohttp import web

from .peers import FakeBridge, Tab, opened, refusal, running_bot

ADA = {"id": "101", "name": "Ada Quinn"}


async def test_a_handoff_has_the_conversation_so_far(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    [body] = bridge.posted("/chats")
    assert re.fullmatch("[0-9a-f]{32}", body.pop("id"))
    assert body == {
        "channel": None,
        "customer": {"id": "a" * 32, "first_name": "Guest"},
        "transcript": [
            {"role": "bot", "text": "Hello! I echo. Ask for a person to get one."},
            {"role": "customer", "text": "A person, please"},
            {"role": "bot", "text": "I am getting you a person."},
        ],
    }


async def test_without_human_agents_there_is_no_handoff(bridge: FakeBridge, tab: Tab) -> None:
    bridge.availability = "offline"
    await tab.write("A person, please")
    assert [await tab.entry() for _ in range(2)][1] == ("bot", "No person is available now. Please ask again later.")
    assert bridge.requests == []


async def test_the_page_shows_the_queue_the_human_agent_and_the_end(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    await bridge.event("handoff_accepted")
    await bridge.event("queue_status", position_in_queue=2)
    await bridge.event("queue_status", queue_name="care")
    assert (await tab.status("Waiting for a person, you are number 2"))["chat"]
    await bridge.event("agent_joined", agent=ADA)
    await tab.status("You are talking to Ada Quinn")
    await bridge.event("agent_typing", None, state="started")
    assert (await tab.frame("state"))["typing"] == "Ada Quinn"
    await bridge.event("agent_message", message_id="m1", text="Hi", attachments=[{"url": "https://x/a", "name": "a"}])
    assert (await tab.frame("state"))["typing"] == ""
    links = [{"url": "https://x/a", "name": "a"}]
    assert await tab.frame("entry") == {"from": "agent", "name": "Ada Quinn", "text": "Hi", "id": "m1", "links": links}
    await bridge.event("inactivity_warning", seconds_left=60)
    assert await tab.entry() == ("bot", "This chat will end in 60 seconds.")
    await bridge.event("message_failed", id="m2", delivery="failed", reason="too_large")
    assert await tab.entry() == ("bot", "A message of yours did not reach the person.")
    await bridge.event("agent_left")
    await tab.status("You are being transferred")
    await bridge.event("agent_joined", agent={"id": "102"})
    await tab.status("You are talking to The agent")
    await bridge.event("chat_ended", by="agent", reason="closed")
    assert (await tab.status("Echo bot"))["chat"] is None
    assert await tab.entry() == ("bot", "The chat has ended. It is me again; ask for a person to get one.")
    await tab.write("Thanks")
    assert [await tab.entry() for _ in range(2)][1] == ("bot", "You said: Thanks")


@pytest.mark.parametrize("kind", ["handoff_failed", "handoff_timeout"])
async def test_the_bot_takes_the_customer_back_after_a_failed_handoff(bridge: FakeBridge, tab: Tab, kind: str) -> None:
    await tab.hand_off()
    await bridge.event(kind)
    assert (await tab.entry())[1].startswith("No person is available now. It is me again")


async def test_messages_typing_and_the_end_reach_the_bridge_in_order(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    await tab.socket.send_json({"type": "typing", "state": "started"})
    name = await tab.write("March")
    await tab.socket.send_json({"type": "end"})
    assert await tab.entry() == ("customer", "March")
    await bridge.event("chat_ended", by="customer")
    await tab.status("Echo bot")
    chat = bridge.posted("/chats")[0]["id"]
    assert [(path.removeprefix("/v1/acme/chat/"), body) for path, body in bridge.requests[1:]] == [
        (f"chats/{chat}/typing", {"state": "started"}),
        (f"chats/{chat}/messages", {"id": name, "text": "March"}),
        (f"chats/{chat}/end", {"by": "customer"}),
    ]


async def test_a_message_is_repeated_with_its_id_until_the_bridge_decides(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    bridge.responses = [refusal(503, "starting"), refusal(429, "too many requests"), web.Response(status=502)]
    name = await tab.write("March")
    assert await tab.entry() == ("customer", "March")
    assert bridge.posted("/messages") == [{"id": name, "text": "March"}] * 4


async def test_a_refused_message_is_reported_and_refused_typing_is_not(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    bridge.responses = [refusal(409, "the chat has ended"), refusal(409, "the chat has ended")]
    await tab.socket.send_json({"type": "typing", "state": "started"})
    await tab.write("March")
    assert await tab.entry() == ("customer", "March")
    assert await tab.entry() == ("bot", "That did not work: the bridge responded with 409, the chat has ended")


async def test_events_resume_after_a_lost_connection_and_none_is_shown_twice(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    await bridge.event("agent_joined", agent=ADA)
    await bridge.event("agent_message", message_id="m1", text="one", attachments=[])
    assert await tab.entry() == ("agent", "one")
    await bridge.cut()
    await bridge.event("agent_message", message_id="m2", text="two", attachments=[])
    assert await tab.entry() == ("agent", "two")
    await bridge.event("agent_message", message_id="m2", text="two", attachments=[])
    await bridge.event("agent_message", message_id="m3", text="x" * 1_000_000, attachments=[])
    assert await tab.entry() == ("agent", "x" * 1_000_000)
    assert bridge.afters == [0, 2]


async def test_a_chat_that_the_bridge_has_erased_is_over(bridge: FakeBridge, tab: Tab) -> None:
    await tab.hand_off()
    await bridge.event("agent_joined", agent=ADA)
    await tab.status("You are talking to Ada Quinn")
    bridge.is_erased = True
    await bridge.cut()
    assert (await tab.entry())[1].startswith("The chat has ended.")


async def test_after_a_restart_the_bot_goes_on_with_a_chat_in_progress(bridge: FakeBridge, url: str) -> None:
    file = {"url": "https://x/a", "name": "a", "media_type": "image/png"}
    bridge.chat = {
        "id": "chat-1",
        "customer": {"id": "a" * 32},
        "ended_at": None,
        "transcript": [{"role": "customer", "text": "A person, please"}],
        "messages": [
            {"id": "m1", "direction": "to_bot", "text": "Hi", "attachments": [file]},
            {"id": "c1", "direction": "to_agent", "text": "March", "attachments": []},
        ],
    }
    await bridge.event("agent_joined", agent=ADA)
    await bridge.event("agent_message", message_id="m1", text="Hi", attachments=[file])
    async with running_bot(url) as http, opened(http) as tab, opened(http, "b" * 32) as stranger:
        history = await tab.frame("history")
        assert [(each["from"], each["text"]) for each in history] == [
            ("customer", "A person, please"),
            ("agent", "Hi"),
            ("customer", "March"),
        ]
        await tab.status("You are talking to Ada Quinn")
        await tab.write("March", "c1")
        await tab.write("April", "c2")
        assert await tab.entry() == ("customer", "April")
        assert bridge.requests == [("/v1/acme/chat/chats/chat-1/messages", {"id": "c2", "text": "April"})]
        assert [each["from"] for each in await stranger.frame("history")] == ["bot"]
