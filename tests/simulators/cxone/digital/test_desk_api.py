from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.conversation import Conversation, State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.desk_feed import MAX_QUEUED_EVENTS
from sipbridge.simulators.cxone.digital.events import AssigneeChanged, Event
from sipbridge.simulators.cxone.digital.messages import Content, Customer

ADA, BEN, _ = DEMO_AGENTS
ROOT = "/simulator/desk"


async def get(http: aiohttp.ClientSession, path: str, **query: str) -> Any:  # noqa: ANN401 (JSON)
    async with http.get(f"{ROOT}/{path}", params=query) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def act(http: aiohttp.ClientSession, chat: Conversation, action: str, **body: object) -> Any:  # noqa: ANN401 (JSON)
    async with http.post(f"{ROOT}/conversations/{chat.id}/{action}", json=body) as response:
        assert response.status in (200, 201), await response.text()
        return await response.json()


async def refused(http: aiohttp.ClientSession, path: str, body: object) -> tuple[int, str]:
    async with http.post(f"{ROOT}/{path}", json=body) as response:
        return response.status, (await response.json())["error_message"]


async def listed(http: aiohttp.ClientSession, **query: str) -> list[str]:
    found = await get(http, "conversations", **query)
    assert found["count"] == len(found["conversations"])
    return [each["id"] for each in found["conversations"]]


async def test_conversations_are_listed_by_what_they_are(http: aiohttp.ClientSession, desk: Desk) -> None:
    first = desk.open("dfo", channel="web", thread_id="t-1", customer=Customer("c-1"))
    second = desk.open("byoc", channel="sms", thread_id="t-2", customer=Customer("c-2"))
    second.accept(BEN)
    first.receive(Content.of_text("order 4711"))
    first.show_customer_typing(on=True)
    assert await listed(http) == [first.id, second.id]
    for query in (
        {"id": first.id},
        {"kind": "dfo"},
        {"channel": "web"},
        {"customer": "c-1"},
        {"thread": "t-1"},
        {"state": "waiting"},
        {"status": "new"},
        {"customer_typing": "true"},
        {"contains": "4711"},
    ):
        assert await listed(http, **query) == [first.id], query
    assert await listed(http, agent="102") == [second.id]
    assert await listed(http, newest="1") == [second.id]
    assert await listed(http, kind="dfo", state="active") == []


async def test_a_list_of_conversations_waits_for_the_requested_number(http: aiohttp.ClientSession, desk: Desk) -> None:
    waiting = asyncio.create_task(listed(http, state="active", wait_for="2", timeout="30"))
    await get(http, "agents")
    chats = [desk.open("dfo", channel="web", thread_id="t", customer=Customer("c")) for _ in range(3)]
    for chat in chats[:2]:
        assert not waiting.done()
        chat.accept(ADA)
    assert await waiting == [chat.id for chat in chats[:2]]


async def test_a_list_of_conversations_waits_for_a_text(
    http: aiohttp.ClientSession, desk: Desk, chat: Conversation
) -> None:
    waiting = asyncio.create_task(listed(http, contains="4711", wait_for="1", timeout="30"))
    await get(http, "agents")
    desk.open("dfo", channel="web", thread_id="t", customer=Customer("c"))
    chat.receive(Content.of_text("order 4711"))
    assert await waiting == [chat.id]


async def test_a_list_returns_what_matches_at_its_timeout(http: aiohttp.ClientSession, chat: Conversation) -> None:
    assert await listed(http, wait_for="2", timeout="0.05") == [chat.id]


async def test_messages_are_listed_after_a_message_and_by_direction(
    http: aiohttp.ClientSession, chat: Conversation
) -> None:
    chat.accept(ADA)
    first, second = chat.receive(Content.of_text("1")), chat.say(Content.of_text("2"))
    path = f"conversations/{chat.id}/messages"
    assert [each["text"] for each in (await get(http, path))["messages"]] == ["1", "2"]
    assert [each["id"] for each in (await get(http, path, direction="inbound"))["messages"]] == [first.id]
    assert [each["id"] for each in (await get(http, path, after=first.id))["messages"]] == [second.id]
    waiting = asyncio.create_task(get(http, path, after=second.id, wait_for="1", timeout="30"))
    await get(http, "agents")
    chat.receive(Content.of_text("3"))
    assert [each["text"] for each in (await waiting)["messages"]] == ["3"]


async def test_a_human_agent_accepts_types_writes_and_closes(http: aiohttp.ClientSession, chat: Conversation) -> None:
    assert (await act(http, chat, "accept", agent=102))["agent"]["name"] == "Ben O."
    assert (await act(http, chat, "typing", state="started"))["agent_typing"] is True
    file = {"url": "https://example.com/a.pdf", "name": "a.pdf", "media_type": "application/pdf"}
    message = await act(http, chat, "messages", text="Hi", attachments=[file], id="m-1")
    assert (message["from"], message["agent"], message["text"]) == ("agent", 102, "Hi")
    assert (message["attachments"], message["external_id"]) == ([file], "m-1")
    shown = await get(http, f"conversations/{chat.id}")
    assert (shown["agent_typing"], [each["id"] for each in shown["messages"]]) == (False, [message["id"]])
    assert (await act(http, chat, "close"))["state"] == "closed"
    assert (await act(http, chat, "messages", text="Late", after_close=True))["text"] == "Late"


async def test_a_rich_message_has_its_type_and_payload(http: aiohttp.ClientSession, chat: Conversation) -> None:
    chat.accept(ADA)
    payload = {"text": {"content": "Which?"}, "actions": [{"type": "REPLY_BUTTON", "text": "A", "postback": "a"}]}
    message = await act(http, chat, "messages", type="QUICK_REPLIES", payload=payload, fallback_text="Which? A")
    assert (message["type"], message["payload"], message["text"]) == ("QUICK_REPLIES", payload, "Which? A")


@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_a_transfer_by_way_of_the_queue_has_no_human_agent_in_the_middle(
    http: aiohttp.ClientSession, chat: Conversation, seconds: float
) -> None:
    chat.accept(ADA)
    seen: list[Event] = []
    chat.listeners.append(lambda _, event: seen.append(event))
    await act(http, chat, "transfer", to=102, via_queue=True, seconds=seconds)
    assert await listed(http, agent="102", wait_for="1") == [chat.id]
    changes = [event for event in seen if isinstance(event, AssigneeChanged)]
    assert changes == [AssigneeChanged(None, ADA, in_transfer=True), AssigneeChanged(BEN, None)]


async def test_a_transfer_is_direct_or_ends_in_the_queue(http: aiohttp.ClientSession, chat: Conversation) -> None:
    chat.accept(ADA)
    assert (await act(http, chat, "transfer", to=102))["agent"]["id"] == 102
    assert (await act(http, chat, "transfer", to=None))["state"] == "waiting"


async def test_a_transfer_does_not_complete_after_the_end(http: aiohttp.ClientSession, chat: Conversation) -> None:
    chat.accept(ADA)
    await act(http, chat, "transfer", to=102, via_queue=True, seconds=0.05)
    await act(http, chat, "close")
    await asyncio.sleep(0.1)
    assert (chat.state, chat.agent) == (State.CLOSED, None)


async def test_a_human_agent_leaves_and_the_conversation_waits(http: aiohttp.ClientSession, chat: Conversation) -> None:
    chat.accept(ADA)
    assert (await act(http, chat, "leave"))["state"] == "waiting"


async def test_a_status_is_set(http: aiohttp.ClientSession, chat: Conversation) -> None:
    assert (await act(http, chat, "status", status="pending"))["state"] == "waiting"
    closed = await act(http, chat, "status", status="trashed", by="system")
    assert (closed["state"], closed["closed_by"]) == ("closed", "system")


async def test_messages_are_marked_by_direction(http: aiohttp.ClientSession, chat: Conversation) -> None:
    chat.accept(ADA)
    asked, said = chat.receive(Content.of_text("1")), chat.say(Content.of_text("2"))
    await act(http, chat, "mark", mark="seen_by_agent")
    await act(http, chat, "mark", mark="delivered")
    assert asked.seen_by_agent_at is not None
    assert asked.delivered_at is None
    assert said.delivered_at is not None


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("messages", {}, "body"),
        ("messages", {"text": "a", "payload": {}}, "body"),
        ("messages", {"text": "a", "attachments": [{}]}, "url"),
        ("typing", {"state": "on"}, "state"),
        ("transfer", {}, "to"),
        ("accept", {"who": 1}, "who"),
    ],
)
async def test_an_invalid_action_is_refused_with_its_field(
    http: aiohttp.ClientSession, chat: Conversation, action: str, body: object, field: str
) -> None:
    status, message = await refused(http, f"conversations/{chat.id}/{action}", body)
    assert status == 400
    assert field in message


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("messages", {"text": "a"}),
        ("leave", {}),
        ("transfer", {"to": 102}),
        ("accept", {"agent": 7}),
        ("status", {"status": "unheard"}),
    ],
)
async def test_an_action_that_is_not_possible_now_is_409(
    http: aiohttp.ClientSession, chat: Conversation, action: str, body: object
) -> None:
    status, message = await refused(http, f"conversations/{chat.id}/{action}", body)
    assert (status, bool(message)) == (409, True)


async def test_an_unknown_conversation_is_404(http: aiohttp.ClientSession) -> None:
    assert (await refused(http, "conversations/1/accept", {}))[0] == 404


@pytest.mark.parametrize("query", ["state=idle", "wait_for=-1", "timeout=forever", "contact=1"])
async def test_an_invalid_query_is_refused(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"{ROOT}/conversations?{query}") as response:
        assert response.status == 400
        assert query.partition("=")[0] in (await response.json())["error_message"]


async def test_a_human_agent_is_added_or_replaced(http: aiohttp.ClientSession, chat: Conversation) -> None:
    async with http.post(f"{ROOT}/agents", json={"id": 7, "first_name": "<b>Eve</b>", "surname": "&amp;"}) as response:
        assert response.status == 201
    assert [agent["id"] for agent in (await get(http, "agents"))["agents"]] == [101, 102, 103, 7]
    assert (await act(http, chat, "accept", agent=7))["agent"]["name"] == "<b>Eve</b> &amp;"


async def test_all_conversations_can_be_deleted(http: aiohttp.ClientSession, chat: Conversation) -> None:
    for path in (f"{ROOT}/conversations", "/simulator"):
        async with http.delete(path) as response:
            assert response.status == 204
        assert await listed(http) == []
    assert chat.state is State.WAITING


async def read_event(stream: aiohttp.StreamReader) -> tuple[str, dict[str, Any]]:
    name = ""
    while line := (await stream.readline()).decode().rstrip():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            await stream.readline()
            return name, json.loads(value)
    raise EOFError


async def test_the_stream_has_the_events_of_all_conversations(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with http.get(f"{ROOT}/events") as response:
        chat = desk.open("dfo", channel="web", thread_id="t", customer=Customer("c"))
        chat.receive(Content.of_text("Hello\nworld"))
        desk.clear()
        names = []
        for _ in range(4):
            name, data = await read_event(response.content)
            names.append(name)
            assert data["conversation"]["id"] == chat.id
            if name == "message":
                assert data["message"]["text"] == "Hello\nworld"
    assert names == ["state", "state", "message", "forgotten"]


async def test_a_reader_that_is_too_slow_is_disconnected(
    http: aiohttp.ClientSession, desk: Desk, chat: Conversation
) -> None:
    async with http.get(f"{ROOT}/events") as response:
        for _ in range(MAX_QUEUED_EVENTS + 2):
            chat.show_customer_typing(on=not chat.customer_is_typing)
        for _ in range(MAX_QUEUED_EVENTS):
            await read_event(response.content)
        with pytest.raises(EOFError):
            await read_event(response.content)
    assert desk.get(chat.id) is chat
