from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from sipbridge.simulators import echo_bot

KEY = "key-of-chat"
ADA = {"id": "101", "name": "Ada Quinn"}


class FakeBridge:
    """The chat operations of a bridge, as far as the bot uses them, for one chat at a time."""

    def __init__(self) -> None:
        self.availability = "online"
        self.requests: list[tuple[str, Any]] = []
        self.responses: list[web.Response] = []  # instead of the next ones to POST
        self.events: list[dict[str, Any]] = []
        self.chat: dict[str, Any] | None = None
        self.afters: list[int] = []  # the sequences that readers resumed after
        self.is_erased = False
        self._changed = asyncio.Condition()
        self._cut = 0

    def app(self) -> web.Application:
        app = web.Application()
        base = "/v1/acme/chat"
        app.add_routes(
            [
                web.get(f"{base}/chat/availability", self._availability),
                web.get(f"{base}/chats", self._list),
                web.get(f"{base}/chats/{{id}}", self._detail),
                web.get(f"{base}/chats/{{id}}/events", self._events),
                web.post(f"{base}/{{path:.*}}", self._post),
            ]
        )
        return app

    async def event(self, kind: str, sequence: int | None = 0, **payload: object) -> None:
        """Add an event, which all readers get; one without a sequence is not repeated."""
        sequence = len(self.events) + 1 if sequence == 0 else sequence
        self.events.append({"type": kind, "sequence": sequence, "payload": payload})
        async with self._changed:
            self._changed.notify_all()

    async def cut(self) -> None:
        """End the streams of events in the middle of a line."""
        self._cut += 1
        async with self._changed:
            self._changed.notify_all()

    def posted(self, path: str) -> list[Any]:
        """Return the bodies of the requests to a path of the chat."""
        return [body for sent, body in self.requests if sent.endswith(path)]

    async def _availability(self, request: web.Request) -> web.Response:
        if request.headers["x-api-key"] != KEY:
            return refusal(401, "the key in the header x-api-key is not valid")
        return web.json_response({"status": self.availability, "channel": request.query.get("channel", "web")})

    async def _list(self, _: web.Request) -> web.Response:
        ended = {"id": "chat-0", "customer": {"id": "a" * 32}, "ended_at": "2026-03-01T12:00:00Z"}
        return web.json_response({"chats": [ended, *([self.chat] if self.chat else [])]})

    async def _detail(self, request: web.Request) -> web.Response:
        if self.chat is None or self.chat["id"] != request.match_info["id"]:
            return refusal(404, "no such chat")
        return web.json_response(self.chat)

    async def _post(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, await request.json()))
        return self.responses.pop(0) if self.responses else web.json_response({"id": "x", "state": "requested"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.is_erased:
            return refusal(404, "no such chat")
        after, cut = int(request.query["after"]), self._cut
        self.afters.append(after)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b": ping\r\n\r\n")
        sent = 0
        async with self._changed:
            while True:
                if cut != self._cut:
                    await stream.write(b'data: {"type": "agent_mess')
                    return stream
                for event in self.events[sent:]:
                    sent += 1
                    if (event["sequence"] or 1000) > after:
                        await stream.write(b"data: " + json.dumps(event).encode() + b"\r\n\r\n")
                await self._changed.wait()


class Tab:
    """The socket of a page."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def write(self, text: str, name: str | None = None) -> str:
        name = name or secrets.token_hex(16)
        await self.socket.send_json({"type": "message", "id": name, "text": text})
        return name

    async def frame(self, key: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the next frame with that key."""
        while True:
            found = await self.socket.receive_json(timeout=5)
            if key in found:
                return found[key]

    async def entry(self) -> tuple[str, str]:
        """Return the speaker and the text of the next message."""
        found = await self.frame("entry")
        return found["from"], found["text"]

    async def status(self, text: str) -> dict[str, Any]:
        """Return the next state that has this status."""
        while True:
            state: dict[str, Any] = await self.frame("state")
            if state["status"] == text:
                return state

    async def hand_off(self) -> None:
        await self.frame("history")
        await self.write("A person, please")
        assert [await self.entry() for _ in range(2)] == [
            ("customer", "A person, please"),
            ("bot", "I am getting you a person."),
        ]
        await self.status("Waiting for a person")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_bot, "RETRY_SECONDS", 0.01)


@pytest.fixture
async def bridge() -> FakeBridge:
    return FakeBridge()


@pytest.fixture
async def url(bridge: FakeBridge) -> AsyncIterator[str]:
    async with TestServer(bridge.app()) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def http(url: str) -> AsyncIterator[ClientSession]:
    async with running_bot(url) as session:
        yield session


@pytest.fixture
async def tab(http: ClientSession) -> AsyncIterator[Tab]:
    async with opened(http) as found:
        yield found


@asynccontextmanager
async def running_bot(url: str) -> AsyncIterator[ClientSession]:
    """Run a bot; return a client of it."""
    app = echo_bot.make_app(url, KEY, "acme", "chat")
    async with TestServer(app) as server, ClientSession(server.make_url("/")) as session:
        yield session


@asynccontextmanager
async def opened(http: ClientSession, customer: str = "a" * 32) -> AsyncIterator[Tab]:
    async with http.ws_connect(f"/chat/{customer}") as socket:
        yield Tab(socket)


async def test_the_page_allows_its_own_script_and_style_and_no_other(http: ClientSession) -> None:
    async with http.get("/") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert not re.search(r"\son\w+=|style=", page.partition("<script>")[0])


async def test_the_bot_echoes_and_knows_a_repeated_message(tab: Tab) -> None:
    assert await tab.frame("history") == [
        {"from": "bot", "name": "Bot", "text": "Hello! I echo. Ask for a person to get one.", "id": "", "links": []}
    ]
    name = await tab.write("Good day")
    await tab.write("Good day", name)
    await tab.write("Bye")
    assert [await tab.entry() for _ in range(4)] == [
        ("customer", "Good day"),
        ("bot", "You said: Good day"),
        ("customer", "Bye"),
        ("bot", "You said: Bye"),
    ]


async def test_strange_frames_change_nothing(tab: Tab) -> None:
    for frame in ("[]", "1", '{"type": "message"}', '{"type": "typing"}', '{"type": "end"}'):
        await tab.socket.send_str(frame)
    for name, text in ((1, "x"), ("", "x"), ("1", 1), ("1", "  ")):
        await tab.socket.send_json({"type": "message", "id": name, "text": text})
    await tab.write("Bye")
    assert await tab.entry() == ("customer", "Bye")
    await tab.socket.send_str("no JSON")
    while (await tab.socket.receive(timeout=5)).type is WSMsgType.TEXT:
        pass
    assert tab.socket.closed


async def test_a_customer_is_named_by_a_secret_of_32_hexadecimal_digits(http: ClientSession) -> None:
    for name in ("", "a" * 31, "a" * 33, "g" * 32):
        async with http.get(f"/chat/{name}") as response:
            assert response.status == 404


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


async def test_all_tabs_of_a_customer_show_the_same_and_another_customer_nothing_of_it(
    http: ClientSession, tab: Tab
) -> None:
    await tab.write("Good day")
    await tab.entry()
    await tab.entry()
    async with opened(http) as other, opened(http, "b" * 32) as stranger:
        assert [each["text"] for each in await other.frame("history")][1:] == ["Good day", "You said: Good day"]
        await other.write("Bye")
        assert await tab.entry() == await other.entry() == ("customer", "Bye")
        assert len(await stranger.frame("history")) == 1


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


async def test_the_program_serves_the_page_until_sigterm(url: str) -> None:
    async with program(url) as running:
        assert running.stdout is not None
        line = (await running.stdout.readline()).decode()
        async with ClientSession() as http, http.get(line.split()[3]) as response:
            assert "<title>Echo bot</title>" in await response.text()
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0


async def test_a_wrong_key_is_one_line_of_error(url: str) -> None:
    async with program(url, key="another") as running:
        _, error = await running.communicate()
    text = "sipbridge bot: the bridge responded with 401, the key in the header x-api-key is not valid\n"
    assert (running.returncode, error.decode()) == (1, text)


def test_a_bridge_that_does_not_respond_is_one_line_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_bot, "START_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for wrong, message in ((url, "no response from the bridge"), ("127.0.0.1:1", "URL should be absolute")):
            app = echo_bot.make_app(wrong, KEY, "acme", "chat")
            with pytest.raises(SystemExit, match=f"^sipbridge bot: {message}"):
                echo_bot.main("127.0.0.1", 0, app)


@asynccontextmanager
async def program(url: str, key: str = KEY) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "sipbridge", "bot", "--listen", "127.0.0.1:0", "--client", "acme"]
    command += ["--project", "chat", "--key", key, "--bridge", url]
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error_message": message}, status=status)
