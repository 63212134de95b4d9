"""The chat operations, as a bot uses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import HumanAgent
from sipbridge.chats.ports import Availability
from sipbridge.errors import StoreError
from tests.web.chats import KEY, OTHER_KEY, OTHER_PROJECT, ChatBridge, chat_bridge

ANNA = HumanAgent(id="7", name="Anna")


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[ChatBridge]:
    async with chat_bridge(tmp_path) as running:
        yield running


async def started(bridge: ChatBridge) -> None:
    """Start a chat and let a human agent join."""
    assert (await bridge.start())[0] == 202
    await bridge.world.event("handoff_accepted")
    bridge.world.channel.happens(h.AgentJoined(ANNA))
    await bridge.world.event("agent_joined")


class TestStart:
    async def test_chat_is_requested(self, bridge: ChatBridge) -> None:
        assert await bridge.start(reason="orders") == (202, {"id": "c1", "state": "requested"})

    async def test_same_request_again_gets_the_same_response(self, bridge: ChatBridge) -> None:
        await bridge.start(reason="orders")
        await bridge.world.event("handoff_accepted")
        status, body = await bridge.start(reason="orders")
        assert (status, body["id"]) == (202, "c1")
        assert len(bridge.world.channel.sessions) == 1

    async def test_other_request_with_the_same_id_is_409(self, bridge: ChatBridge) -> None:
        await bridge.start(reason="orders")
        status, body = await bridge.start(reason="returns")
        assert (status, body["code"]) == (409, "conflict")

    async def test_request_without_an_id_gets_one(self, bridge: ChatBridge) -> None:
        status, body = await bridge.post("chats", KEY, {"reason": "orders"})
        assert status == 202
        assert (await bridge.get(f"chats/{body['id']}", KEY))[0] == 200

    async def test_unknown_channel_is_422_with_the_known_ones(self, bridge: ChatBridge) -> None:
        status, body = await bridge.start(channel="fax")
        assert (status, body["error_message"].partition(",")[0]) == (422, "unknown channel; use one of web")

    async def test_polyai_function_result_starts_a_chat(self, bridge: ChatBridge) -> None:
        handoff = {"reason": "orders", "text_chat": {"nice_integration": {"custom_fields": {"tier": "gold"}}}}
        body = {"id": "c1", "utterance": "One moment.", "handoff": handoff}
        assert (await bridge.post("chats", KEY, body))[0] == 202
        record = bridge.world.live.record
        assert (record.channel, record.handoff.utterance, record.handoff.reason) == ("web", "One moment.", "orders")
        assert record.custom_fields == {"tier": "gold"}

    async def test_integration_of_another_vendor_is_422_with_the_known_ones(self, bridge: ChatBridge) -> None:
        body = {"utterance": "One moment.", "handoff": {"text_chat": {"zendesk_integration": {}}}}
        status, response = await bridge.post("chats", KEY, body)
        assert status == 422
        assert "nice_integration" in response["error_message"]
        assert "web" in response["error_message"]

    @pytest.mark.parametrize(
        "body",
        [
            {"id": "a b"},
            {"id": ""},
            {"customer": {"age": 7}},
            {"transcript": [{"role": "robot", "text": "x"}]},
            {"transcript": [{"role": "bot", "text": ""}]},
            {"unheard_of": 1},
            {"handoff": {"text_chat": {}}},
            {"handoff": 7},
        ],
    )
    async def test_request_that_is_not_valid_is_422(self, bridge: ChatBridge, body: dict[str, Any]) -> None:
        status, response = await bridge.post("chats", KEY, body)
        assert (status, response["code"]) == (422, "invalid_request")
        assert bridge.world.reception.active == 0

    async def test_more_chats_than_the_limit_are_503(self, bridge: ChatBridge) -> None:
        for number in range(3):
            assert (await bridge.start(f"c{number}"))[0] == 202
        assert (await bridge.start("c3"))[0] == 503

    async def test_project_without_chat_is_422(self, bridge: ChatBridge) -> None:
        status, body = await bridge.request("POST", "/v1/acme/none/chats", KEY, {})
        assert status == 403
        assert "project" in body["error_message"]


class TestMessages:
    async def test_message_is_accepted_and_delivered(self, bridge: ChatBridge) -> None:
        await started(bridge)
        assert await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Hello"}) == (202, {"id": "m1"})
        assert await bridge.world.event("message_delivered") == {"id": "m1"}

    async def test_same_message_again_changes_nothing_and_another_one_is_409(self, bridge: ChatBridge) -> None:
        await started(bridge)
        for _ in range(2):
            assert (await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Hello"}))[0] == 202
        assert (await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Bye"}))[0] == 409
        await bridge.world.event("message_delivered")
        assert bridge.world.session.texts[1:] == ["Hello"]

    async def test_message_to_an_ended_chat_is_409_and_to_an_unknown_one_404(self, bridge: ChatBridge) -> None:
        await started(bridge)
        bridge.world.channel.happens(h.ContactClosed())
        await bridge.world.ended()
        for path in ("messages", "typing", "end"):
            body = {"messages": {"text": "x"}, "typing": {"state": "started"}, "end": {}}[path]
            assert (await bridge.post(f"chats/c1/{path}", KEY, body))[0] == 409
            assert (await bridge.post(f"chats/none/{path}", KEY, body))[0] == 404

    async def test_repeated_requests_have_the_same_responses_after_the_end(self, bridge: ChatBridge) -> None:
        await started(bridge)
        said, end = {"id": "m1", "text": "Hello"}, {"reason": "solved"}
        assert (await bridge.post("chats/c1/messages", KEY, said))[0] == 202
        assert (await bridge.post("chats/c1/end", KEY, end))[0] == 202
        await bridge.world.ended()
        assert await bridge.post("chats/c1/messages", KEY, said) == (202, {"id": "m1"})
        assert await bridge.post("chats/c1/end", KEY, end) == (202, {"id": "c1", "state": "ended"})
        assert (await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Bye"}))[0] == 409
        assert (await bridge.post("chats/c1/messages", KEY, {"id": "m2", "text": "Hello"}))[0] == 409
        assert (await bridge.post("chats/c1/typing", KEY, {"state": "started"}))[0] == 409
        assert bridge.world.session.texts[1:] == ["Hello"]

    async def test_message_that_is_too_long_is_422_and_a_huge_one_413(self, bridge: ChatBridge) -> None:
        await started(bridge)
        assert (await bridge.post("chats/c1/messages", KEY, {"text": "x" * 10_000}))[0] == 202
        assert (await bridge.post("chats/c1/messages", KEY, {"text": "x" * 10_001}))[0] == 422
        assert (await bridge.post("chats/c1/messages", KEY, {"text": "x" * 2_000_000}))[0] == 413

    @pytest.mark.parametrize("body", [{}, {"text": "  "}, {"text": None}, {"attachments": [{"name": "x"}]}])
    async def test_message_without_content_is_422(self, bridge: ChatBridge, body: dict[str, Any]) -> None:
        await started(bridge)
        assert (await bridge.post("chats/c1/messages", KEY, body))[0] == 422

    async def test_message_that_cannot_be_stored_is_not_accepted(self, bridge: ChatBridge) -> None:
        await started(bridge)
        bridge.world.store.failing = StoreError("the disk is full")
        status, body = await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Hello"})
        assert (status, body["code"]) == (503, "store_unavailable")
        bridge.world.store.failing = None
        assert (await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Hello"}))[0] == 202

    async def test_typing_is_passed_on(self, bridge: ChatBridge) -> None:
        await started(bridge)
        assert (await bridge.post("chats/c1/typing", KEY, {"state": "started"}))[0] == 202
        assert bridge.world.session.typing == [True]

    async def test_end_is_accepted_once_and_again(self, bridge: ChatBridge) -> None:
        await started(bridge)
        assert (await bridge.post("chats/c1/end", KEY, {"reason": "solved", "by": "customer"}))[0] == 202
        record = await bridge.world.ended()
        assert record.ended_by == "customer"


class TestReads:
    async def test_detail_has_the_messages_of_both_sides(self, bridge: ChatBridge) -> None:
        await started(bridge)
        await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": "Hello"})
        await bridge.world.event("message_delivered")
        bridge.world.channel.happens(h.AgentMessage("a1", "Hi", datetime.now(UTC)))
        await bridge.world.event("agent_message")
        status, body = await bridge.get("chats/c1", KEY)
        assert (status, body["state"]) == (200, "active")
        shown = [(each["direction"], each["text"], each["delivery"]) for each in body["messages"]]
        assert shown == [("to_agent", "Hello", "delivered"), ("to_bot", "Hi", None)]

    async def test_list_has_the_newest_first(self, bridge: ChatBridge) -> None:
        await bridge.start("c1")
        await bridge.start("c2")
        status, body = await bridge.get("chats?limit=1", KEY)
        assert (status, [chat["id"] for chat in body["chats"]]) == (200, ["c2"])
        before = body["chats"][0]["started_at"].replace("+", "%2B")
        _, body = await bridge.get(f"chats?before={before}", KEY)
        assert [chat["id"] for chat in body["chats"]] == ["c1"]

    async def test_availability_is_that_of_the_channel(
        self, bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sipbridge.chats.availability.MAX_AGE_SECONDS", 0)
        assert await bridge.get("chat/availability", KEY) == (200, {"status": "online", "channel": "web"})
        bridge.world.channel.found = Availability("unknown", queue_count=3, reason="no response")
        assert (await bridge.get("chat/availability?channel=web", KEY))[1] == {
            "status": "unknown",
            "channel": "web",
            "queue_count": 3,
            "reason": "no response",
        }
        assert (await bridge.get("chat/availability?channel=fax", KEY))[0] == 422

    async def test_handoff_state_finds_a_chat_by_id_and_by_shared_id(self, bridge: ChatBridge) -> None:
        await bridge.start(shared_id="crm-1", data={"tier": "gold"}, customer={"first_name": "Eva", "phone": "+1"})
        for query in ("id=c1", "shared_id=crm-1"):
            status, body = await bridge.get(f"handoff_state?{query}", KEY)
            assert (status, body["id"], body["shared_id"]) == (200, "c1", "crm-1")
            assert body["data"]["tier"] == "gold"
            assert body["data"]["handoff_state"] == "handoff_initiated"
            assert (body["data"]["customer_first_name"], body["data"]["caller_number"]) == ("Eva", "+1")

    async def test_record_of_a_chat_is_erased_once_it_is_over(self, bridge: ChatBridge) -> None:
        await started(bridge)
        assert (await bridge.delete("handoff_state?id=c1", KEY))[0] == 409
        bridge.world.channel.happens(h.ContactClosed())
        await bridge.world.ended()
        assert (await bridge.delete("handoff_state?shared_id=c1", KEY))[0] == 204
        assert (await bridge.get("chats/c1", KEY))[0] == 404


class TestEvents:
    async def test_stream_has_every_event_with_its_sequence_until_the_end(self, bridge: ChatBridge) -> None:
        await started(bridge)
        reading = asyncio.create_task(read_events(bridge))
        await asyncio.sleep(0.05)
        bridge.world.channel.happens(h.AgentMessage("a1", "Hi", datetime.now(UTC)))
        bridge.world.channel.happens(h.ContactClosed())
        events = await asyncio.wait_for(reading, 5)
        assert [(event["id"], event["event"]) for event in events] == [
            ("1", "handoff_accepted"),
            ("2", "agent_joined"),
            ("3", "agent_message"),
            ("4", "chat_ended"),
        ]
        assert [json.loads(event["data"])["sequence"] for event in events] == [1, 2, 3, 4]

    @pytest.mark.parametrize("by_header", [True, False])
    async def test_reader_resumes_without_loss(self, bridge: ChatBridge, by_header: bool) -> None:  # noqa: FBT001 (a table)
        await started(bridge)
        bridge.world.channel.happens(h.ContactClosed())
        await bridge.world.ended()
        query, headers = ("", {"Last-Event-ID": "2"}) if by_header else ("?after=2", {})
        assert [event["id"] for event in await read_events(bridge, query, headers)] == ["3"]

    @pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 30, "²"])
    async def test_id_of_no_event_is_400(self, bridge: ChatBridge, given: str) -> None:
        await started(bridge)
        url = bridge.url("chats/c1/events")
        headers = {"x-api-key": KEY, "Last-Event-ID": given}
        async with bridge.session.get(url, headers=headers) as response:
            assert response.status == 400

    async def test_typing_has_no_id_and_is_not_repeated(self, bridge: ChatBridge) -> None:
        await started(bridge)
        reading = asyncio.create_task(read_events(bridge))
        await asyncio.sleep(0.05)
        bridge.world.channel.happens(h.AgentTyping(on=True))
        await bridge.world.event("agent_typing")
        bridge.world.channel.happens(h.ContactClosed())
        live = await asyncio.wait_for(reading, 5)
        assert ("", "agent_typing") in [(event["id"], event["event"]) for event in live]
        assert "agent_typing" not in [event["event"] for event in await read_events(bridge)]


async def read_events(
    bridge: ChatBridge, query: str = "", headers: dict[str, str] | None = None
) -> list[dict[str, str]]:
    """Read a stream to its end."""
    events = []
    headers = {"x-api-key": KEY, **(headers or {})}
    async with bridge.session.get(bridge.url(f"chats/c1/events{query}"), headers=headers) as response:
        assert response.status == 200
        text = (await response.text()).replace("\r\n", "\n")
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        events.append({"id": "", **fields})
    return events


CHAT_REQUESTS: list[tuple[str, str, object]] = [
    ("GET", "chats/c1", None),
    ("GET", "chats/c1/events", None),
    ("POST", "chats/c1/messages", {"text": "x"}),
    ("POST", "chats/c1/typing", {"state": "started"}),
    ("POST", "chats/c1/end", {}),
    ("GET", "handoff_state?id=c1", None),
    ("DELETE", "handoff_state?id=c1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHAT_REQUESTS)
async def test_chats_of_one_project_are_invisible_to_another(
    bridge: ChatBridge, method: str, path: str, body: object
) -> None:
    await started(bridge)
    assert (await bridge.request(method, path, OTHER_KEY, body))[0] == 403
    assert (await bridge.request(method, path, "wrong", body))[0] == 401
    assert (await bridge.request(method, path, None, body))[0] == 401
    other = f"/v1/acme/{OTHER_PROJECT}/{path}"
    assert (await bridge.request(method, other, OTHER_KEY, body))[0] == 404
    assert bridge.world.live.record.state == "active"


async def test_list_has_the_chats_of_its_project_only(bridge: ChatBridge) -> None:
    await bridge.start()
    assert await bridge.get(f"/v1/acme/{OTHER_PROJECT}/chats", OTHER_KEY) == (200, {"chats": []})


async def test_same_id_in_two_projects_is_two_chats(bridge: ChatBridge) -> None:
    await bridge.start(reason="orders")
    assert (await bridge.post(f"/v1/acme/{OTHER_PROJECT}/chats", OTHER_KEY, {"id": "c1", "reason": "x"}))[0] == 202
    assert bridge.world.reception.active == 2


async def test_reader_that_disconnects_does_not_end_the_chat(bridge: ChatBridge) -> None:
    await started(bridge)
    url, headers = bridge.url("chats/c1/events"), {"x-api-key": KEY}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        await response.content.readline()
    assert bridge.world.live.record.state == "active"
