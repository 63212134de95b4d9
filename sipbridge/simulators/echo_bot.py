"""A small chat bot with a web page, to try the bridge with and to copy: it echoes, and hands off on request.

For a bot of your own, copy this file and its page, and replace `_answer`. After a restart it goes on with the chats in
progress, which the bridge knows; keep all other conversations in a database. docs/chat.md describes the API.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType, web

PAGE = Path(__file__).with_name("echo_bot.html").read_text()
WANTS_A_PERSON = re.compile(r"\b(person|human|agent|someone)\b", re.IGNORECASE)
RETRY_SECONDS, START_SECONDS = 1.0, 10.0
TIMEOUT = ClientTimeout(total=None, sock_connect=10, sock_read=60)  # streams of events are endless


class Refused(Exception):
    """The bridge refused a request."""


class Bridge:
    """The chat operations of the bridge, for one project."""

    def __init__(self, http: ClientSession, channel: str | None) -> None:
        self._http, self.channel = http, channel
        self.availability = f"chat/availability?channel={quote(channel)}" if channel else "chat/availability"

    async def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """Send a request until the bridge decides on it; sent again, it changes nothing. Raises `Refused`."""
        while True:
            with suppress(ClientError, TimeoutError):
                async with self._http.request(method, path, json=body) as response:
                    if response.ok:
                        return await response.json()
                    if response.status != 429 and response.status < 500:  # noqa: PLR2004 (else it may work later)
                        why = (await response.json())["error_message"]
                        raise Refused(f"the bridge responded with {response.status}, {why}")
            await asyncio.sleep(RETRY_SECONDS)

    async def chat_of(self, customer: str) -> Any:  # noqa: ANN401 (JSON)
        """Return a customer's chat in progress with its messages, or None."""
        chats = (await self.request("GET", "chats?limit=200"))["chats"]
        ids = [each["id"] for each in chats if each["customer"]["id"] == customer and each["ended_at"] is None]
        return await self.request("GET", f"chats/{ids[0]}") if ids else None

    async def events(self, chat: str) -> AsyncIterator[Any]:
        """Yield the events of a chat until it is over. Reconnects, and resumes after the last event: none is lost."""
        after = 0
        while True:
            with suppress(ClientError, TimeoutError):
                async with self._http.get(f"chats/{chat}/events?after={after}") as stream:
                    if stream.status == 404:  # noqa: PLR2004 (the chat has been erased)
                        return
                    async for line in stream.content:
                        if line.startswith(b"data:") and line.endswith(b"\n"):
                            event = json.loads(line[5:])
                            after = event["sequence"] or after
                            yield event
                            if event["type"] in ("chat_ended", "handoff_failed", "handoff_timeout"):
                                return
            await asyncio.sleep(RETRY_SECONDS)


class Conversation:
    """One conversation with a customer, in however many browser tabs it is open."""

    def __init__(self, bridge: Bridge, customer: str) -> None:
        self._bridge, self._customer, self._agent = bridge, customer, "The agent"
        self._history: list[dict[str, Any]] = []
        self._state: dict[str, Any] = {"status": "Echo bot", "chat": None, "typing": ""}
        self._tabs: set[web.WebSocketResponse] = set()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._opened = asyncio.Event()
        self.tasks = [asyncio.create_task(self._converse())]

    async def attach(self, tab: web.WebSocketResponse) -> None:
        """Serve a tab until it closes: all that was said first, then what is said."""
        await self._opened.wait()
        self._tabs.add(tab)
        try:
            await tab.send_json({"history": self._history, "state": self._state})
            async for message in tab:
                if message.type is WSMsgType.TEXT:
                    self._received.put_nowait(json.loads(message.data))
        finally:
            self._tabs.discard(tab)

    async def _converse(self) -> None:  # noqa: C901 (one case per kind of entry)
        """Greet, or go on with the chat that an earlier run of the bot left; then take one entry after the other."""
        if found := await self._bridge.chat_of(self._customer):
            for turn in found["transcript"]:
                await self._show(turn["role"], turn["text"])
            for each in found["messages"]:
                speaker = "agent" if each["direction"] == "to_bot" else "customer"
                await self._show(speaker, each["text"], each["id"], each["attachments"])
            await self._follow(found["id"])
        else:
            await self._show("bot", "Hello! I echo. Ask for a person to get one.")
        self._opened.set()
        while True:
            entry, chat = await self._received.get(), self._state["chat"]
            try:
                match entry:
                    case {"type": "message", "id": str(name), "text": str(text)} if text.strip() and self._is_new(name):
                        try:
                            if chat:
                                await self._bridge.request("POST", f"chats/{chat}/messages", {"id": name, "text": text})
                        finally:  # Only now, because a tab sends again what it does not see in the history.
                            await self._show("customer", text, name)
                        if not chat:
                            await self._answer(text)
                    case {"type": "typing", "state": state} if chat:
                        with suppress(Refused):  # The chat may just have ended.
                            await self._bridge.request("POST", f"chats/{chat}/typing", {"state": state})
                    case {"type": "end"} if chat:
                        await self._bridge.request("POST", f"chats/{chat}/end", {"by": "customer"})
            except Refused as error:
                await self._show("bot", f"That did not work: {error}")

    async def _answer(self, text: str) -> None:
        if not WANTS_A_PERSON.search(text):
            await self._show("bot", f"You said: {text}")
        elif (await self._bridge.request("GET", self._bridge.availability))["status"] == "offline":
            await self._show("bot", "No person is available now. Please ask again later.")
        else:
            await self._show("bot", "I am getting you a person.")
            turns = [{"role": each["from"], "text": each["text"]} for each in self._history if each["text"]]
            body = {"customer": {"id": self._customer, "first_name": "Guest"}, "transcript": turns[-1000:]}
            chat = secrets.token_hex(16)
            await self._bridge.request("POST", "chats", {"id": chat, "channel": self._bridge.channel, **body})
            await self._follow(chat)

    async def _follow(self, chat: str) -> None:
        await self._set(status="Waiting for a person", chat=chat)
        self.tasks[1:] = [asyncio.create_task(self._relay(chat))]

    async def _relay(self, chat: str) -> None:
        """Show the events of a chat until it is over."""
        kind = ""
        async for event in self._bridge.events(chat):
            kind, payload = event["type"], event["payload"]
            match kind:
                case "queue_status" if position := payload.get("position_in_queue"):
                    await self._set(status=f"Waiting for a person, you are number {position}")
                case "agent_joined":
                    self._agent = payload["agent"].get("name", "The agent")
                    await self._set(status=f"You are talking to {self._agent}")
                case "agent_left":
                    await self._set(status="You are being transferred", typing="")
                case "agent_typing":
                    await self._set(typing=self._agent if payload["state"] == "started" else "")
                case "agent_message" if self._is_new(payload["message_id"]):
                    await self._set(typing="")
                    await self._show("agent", payload["text"], payload["message_id"], payload["attachments"])
                case "message_failed":
                    await self._show("bot", "A message of yours did not reach the person.")
                case "inactivity_warning" | "expiry_warning":
                    await self._show("bot", f"This chat will end in {payload['seconds_left']} seconds.")
        await self._set(status="Echo bot", chat=None, typing="")
        why = "No person is available now" if kind in ("handoff_failed", "handoff_timeout") else "The chat has ended"
        await self._show("bot", f"{why}. It is me again; ask for a person to get one.")

    def _is_new(self, name: str) -> bool:
        return all(each["id"] != name for each in self._history)

    async def _show(self, speaker: str, text: str, name: str = "", links: list[Any] | None = None) -> None:
        who = {"customer": "You", "bot": "Bot"}.get(speaker, self._agent)
        self._history.append({"from": speaker, "name": who, "text": text, "id": name, "links": links or []})
        await self._send(entry=self._history[-1])

    async def _set(self, **state: object) -> None:
        self._state |= state
        await self._send(state=self._state)

    async def _send(self, **frame: object) -> None:
        for tab in list(self._tabs):
            with suppress(ConnectionError):
                await tab.send_json(frame)


def make_app(url: str, key: str, account: str, project: str, channel: str | None = None) -> web.Application:
    """Build the bot: the page at `/`, and its WebSocket. It starts only if the bridge accepts its requests."""
    conversations: dict[str, Conversation] = {}
    bridge: Bridge
    inline = re.findall(r"<(style|script)>(.*?)</\1>", PAGE, re.DOTALL)
    hashes = [f"{tag}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'; " for tag, text in inline]
    policy = f"{''.join(hashes)}default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'"

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def chat(request: web.Request) -> web.WebSocketResponse:
        customer = request.match_info["customer"]  # which is also the secret that opens the conversation
        tab = web.WebSocketResponse(heartbeat=20, max_msg_size=64 * 1024, compress=False)
        await tab.prepare(request)
        if customer not in conversations:
            conversations[customer] = Conversation(bridge, customer)
        with suppress(ValueError, ConnectionError):  # no JSON
            await conversations[customer].attach(tab)
        return tab

    async def connect(_: web.Application) -> AsyncIterator[None]:
        nonlocal bridge
        base = f"{url.rstrip('/')}/v1/{quote(account)}/{quote(project)}/"
        async with ClientSession(base, headers={"x-api-key": key}, timeout=TIMEOUT, read_bufsize=2**20) as http:
            bridge = Bridge(http, channel)
            async with asyncio.timeout(START_SECONDS):
                await bridge.request("GET", bridge.availability)
            yield
            for task in [task for each in conversations.values() for task in each.tasks]:
                task.cancel()

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/chat/{customer:[0-9a-f]{32}}", chat)])
    app.cleanup_ctx.append(connect)
    return app


def main(host: str, port: int, app: web.Application) -> None:
    """Run the bot until SIGINT or SIGTERM. Exits with a message if it cannot."""
    try:
        web.run_app(app, host=host, port=port, print=partial(print, flush=True), access_log=None, shutdown_timeout=1)
    except (Refused, OSError, TimeoutError, ValueError) as error:
        sys.exit(f"sipbridge bot: {str(error) or 'no response from the bridge; check its URL'}")
