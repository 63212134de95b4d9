"""Requests of bots that are wrong by mistake or on purpose: each gets a response, and none breaks the bridge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sipbridge.chats import happenings as h
from sipbridge.web.server.request_parsing import MAX_BODY_BYTES
from tests.web.chats import KEY, ChatBridge, chat_bridge


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[ChatBridge]:
    async with chat_bridge(tmp_path) as running:
        assert (await running.start())[0] == 202
        await running.world.event("handoff_accepted")
        yield running


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01\x1b[31m\x7f\x85\u2028 \u202e",
        "😀" * 10_000,
        "👩‍👩‍👧‍👦 ",
        "<script>alert(1)</script>\r\n\r\nHTTP/1.1 200 OK",
        "\ufeff\ufffe\uffff",
        "x" * 9_999 + "\n",
    ],
)
async def test_any_text_of_10000_characters_reaches_the_human_agent_as_it_is(bridge: ChatBridge, text: str) -> None:
    assert (await bridge.post("chats/c1/messages", KEY, {"id": "m1", "text": text}))[0] == 202
    await bridge.world.event("message_delivered")
    assert bridge.world.session.texts[-1] == text
    status, shown = await bridge.get("chats/c1", KEY)
    assert (status, shown["messages"][0]["text"]) == (200, text)


@pytest.mark.parametrize("path", ["chats", "chats/c1/messages", "chats/c1/end"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "\\ud800", "reason": "\\udfff"}',
        b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"data": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
        b'{"text": ' + b"9" * 10_000 + b"}",
        b'{"text": NaN}',
        b'{"data": {"\\ud800": 1}, "shared_id": "\\udfff"}',
        b"\xff\xfe{",
        b"[]",
        b'"text"',
        b"null",
        b"7",
    ],
)
async def test_body_that_is_not_valid_is_refused_without_being_quoted(
    bridge: ChatBridge, path: str, body: bytes
) -> None:
    status, response = await bridge.request("POST", path, KEY, body)
    assert status in (400, 422), response
    assert len(response["error_message"]) < 1500
    assert "9999" not in response["error_message"]


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"x": "y" * 65_536}},
        {"customer": {"email": "x" * 257}},
        {"custom_fields": {f"f{n}": "x" for n in range(101)}},
        {"custom_fields": {"a\r\nb": "x"}},
        {"transcript": [{"role": "bot", "text": "x"}] * 1_001},
        {"transcript": [{"role": "bot", "text": "x" * 16_385}]},
        {"id": "x" * 129},
        {"id": "a\nb"},
        {"id": "../a"},
        {"id": "é"},
    ],
)
async def test_request_over_a_limit_is_422_and_starts_nothing(bridge: ChatBridge, given: dict[str, Any]) -> None:
    status, response = await bridge.post("chats", KEY, {"id": "c2", **given})
    assert (status, response["code"]) == (422, "invalid_request")
    assert bridge.world.reception.active == 1


async def test_transcript_of_1000_turns_is_accepted_if_the_body_may_hold_it(bridge: ChatBridge) -> None:
    turns = [{"role": "customer", "text": "x" * 900}] * 1_000
    assert len(json.dumps({"transcript": turns})) < MAX_BODY_BYTES
    assert (await bridge.start("c2", transcript=turns))[0] == 202
    assert (await bridge.start("c3", transcript=[{"role": "customer", "text": "x" * 16_384}] * 1_000))[0] == 413


@pytest.mark.parametrize("chat_id", ["a:b", "a@b.c", "+1", "0", "A-_.:@z", "x" * 128, "whatsapp:49.151@s"])
async def test_ids_of_other_systems_work_in_paths(bridge: ChatBridge, chat_id: str) -> None:
    status, _ = await bridge.start(chat_id)
    assert status == (422 if chat_id == "+1" else 202)
    for in_path in (chat_id, quote(chat_id, safe="")):
        assert (await bridge.get(f"chats/{in_path}", KEY))[0] == (404 if chat_id == "+1" else 200)


@pytest.mark.parametrize("chat_id", ["c1%2fmessages", "c1%0a", "%00", "c1%20", "%F0%9F%98%80", "%ff", "c1;a"])
async def test_path_that_names_no_chat_is_404(bridge: ChatBridge, chat_id: str) -> None:
    for path in (f"chats/{chat_id}", f"chats/{chat_id}/events"):
        async with bridge.session.get(bridge.url(path), headers={"x-api-key": KEY}) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    "last", ["-1", "x", "1.0", "0" * 5_000, "0" * 20 + "9" * 20, "9" * 16, "9" * 400, "\u0661", "1e3", "2,3"]
)
async def test_last_event_id_that_is_none_is_400(bridge: ChatBridge, last: str) -> None:
    headers = {"x-api-key": KEY, "Last-Event-ID": last}
    async with bridge.session.get(bridge.url("chats/c1/events"), headers=headers) as response:
        assert response.status == 400


async def test_last_event_id_beyond_the_last_event_gets_what_follows_it_only(bridge: ChatBridge) -> None:
    bridge.world.channel.happens(h.ContactClosed())
    await bridge.world.ended()
    headers = {"x-api-key": KEY, "Last-Event-ID": str(2**53)}
    async with bridge.session.get(bridge.url("chats/c1/events"), headers=headers) as response:
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//h/x", "file:///etc/passwd", "https://h/a b", "https://h/\r\nx: y"],
)
async def test_attachment_that_is_not_of_the_web_is_422(bridge: ChatBridge, url: str) -> None:
    """The human agent gets it as a link."""
    assert (await bridge.post("chats/c1/messages", KEY, {"attachments": [{"url": url}]}))[0] == 422
    assert (await bridge.post("chats/c1/messages", KEY, {"attachments": [{"url": "HTTPS://h/ü.png"}]}))[0] == 202


async def test_agent_message_with_any_content_is_one_event_of_the_stream(bridge: ChatBridge) -> None:
    text = 'a\r\n\r\nid: 9\nevent: chat_ended\ndata: {"x": 1}\u2028\x00' + "x" * 1_000_000
    bridge.world.channel.happens(h.AgentMessage("m\n\nid: 7", text, at=bridge.world.live.record.started_at))
    await bridge.world.event("agent_message")
    bridge.world.channel.happens(h.ContactClosed())
    await bridge.world.ended()
    async with bridge.session.get(bridge.url("chats/c1/events"), headers={"x-api-key": KEY}) as response:
        blocks = (await response.text()).strip().split("\r\n\r\n")
    assert [block.splitlines()[0].partition(":")[0] for block in blocks] == ["id"] * 3
    [data] = [line.removeprefix("data: ") for line in blocks[1].split("\r\n") if line.startswith("data: ")]
    assert json.loads(data)["payload"]["text"] == text
