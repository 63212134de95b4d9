"""The bridge and the page of a bot."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, web
from aiohttp.test_utils import TestServer

from sipbridge.simulators import echo_bot

KEY = "key-of-chat"


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


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error_message": message}, status=status)
