"""A small chat bot with a web page, to try the bridge with and to copy: it echoes, and hands off on request.

It uses the chat operations of the bridge's HTTP API (docs/chat.md). It needs aiohttp and nothing of sipbridge. To make
a bot of your own, copy this file and its page, and replace `_answer`. After a restart the bot goes on with the chats
in progress, because the bridge knows them; keep all other conversations in a database.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType, web

PAGE = Path(__file__).with_name("echo_bot.html").read_text()
WANTS_A_PERSON = re.compile(r"\b(person|human|agent|someone)\b", re.IGNORECASE)
RETRY_SECONDS = 1.0
TIMEOUT = ClientTimeout(total=None, sock_connect=10, sock_read=60)  # streams of events are endless


class BridgeError(Exception):
    """The bridge refused a request."""


class Bridge:
    """The chat operations of the bridge, for one project."""

    def __init__(self, http: ClientSession, channel: str | None) -> None:
        self._http = http
        self.channel = channel
        self.availability = f"chat/availability{f'?channel={quote(channel)}' if channel else ''}"

    async def request(self, method: str, path: str, body: object = None, *, once: bool = False) -> Any:  # noqa: ANN401 (JSON)
        """Send a request until the bridge decides on it; sent again, it changes nothing. Raises `BridgeError`.

        Sent only `once`, it raises `ClientError` or `TimeoutError` if the bridge is away.
        """
        while True:
            try:
                async with self._http.request(method, path, json=body) as response:
                    if response.status == 429 or response.status >= 500:  # noqa: PLR2004 (later it may work)
                        response.raise_for_status()
                    found = await response.json()
                    if not response.ok:
                        raise BridgeError(f"the bridge responded with {response.status}, {found['error_message']}")
                    return found
            except (ClientError, TimeoutError):
                if once:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def chat_of(self, customer: str) -> Any:  # noqa: ANN401 (JSON)
        """Return a customer's chat in progress with its messages, or None."""
        for chat in (await self.request("GET", "chats?limit=200"))["chats"]:
            if chat["customer"]["id"] == customer and chat["ended_at"] is None:
                return await self.request("GET", f"chats/{chat['id']}")
        return None

    async def events(self, chat_id: str) -> AsyncIterator[Any]:
        """Yield the events of a chat until it is over. Reconnects, and resumes after the last event: none is lost."""
        after = 0
        while True:
            with suppress(ClientError, TimeoutError):
                async with self._http.get(f"chats/{chat_id}/events?after={after}") as stream:
                    if stream.status == 404:  # noqa: PLR2004 (the chat has been erased)
                        return
                    stream.raise_for_status()
                    async for line in stream.content:
                        if line.startswith(b"data:"):
                            event = json.loads(line[5:])
                            after = event["sequence"] or after
                            yield event
                            if event["type"] in ("chat_ended", "handoff_failed", "handoff_timeout"):
                                return
            await asyncio.sleep(RETRY_SECONDS)


class Conversation:
    """One conversation with a customer, in however many browser tabs it is open."""

    def __init__(self, bridge: Bridge, customer: str) -> None:
        self._bridge = bridge
        self._customer = customer
        self._history: list[dict[str, Any]] = []
        self._state: dict[str, Any] = {"status": "Echo bot", "chat": None, "typing": ""}
        self._agent = "The agent"
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

    async def _converse(self) -> None:
        """Greet, or go on with the chat that an earlier run of the bot left; then take one entry after the other."""
        if chat := await self._bridge.chat_of(self._customer):
            for turn in chat["transcript"]:
                await self._show(turn["role"], turn["text"])
            for each in chat["messages"]:
                speaker = "agent" if each["direction"] == "to_bot" else "customer"
                await self._show(speaker, each["text"], each["id"], each["attachments"])
            await self._follow(chat["id"])
        else:
            await self._show("bot", "Hello! I echo. Ask for a person to get one.")
        self._opened.set()
        while True:
            try:
                await self._take(await self._received.get())
            except BridgeError as error:
                await self._show("bot", f"That did not work: {error}")

    async def _take(self, entry: object) -> None:
        match entry, self._state["chat"]:
            case {"type": "message", "id": str(name), "text": str(text)}, chat if text.strip():
                if not self._has_shown(name):  # A tab repeats what it does not know to have arrived.
                    await self._answer(name, text, chat)
            case {"type": "typing", "state": state}, str(chat):
                with suppress(BridgeError):  # The chat may just have ended.
                    await self._bridge.request("POST", f"chats/{chat}/typing", {"state": state})
            case {"type": "end"}, str(chat):
                await self._bridge.request("POST", f"chats/{chat}/end", {"by": "customer"})

    async def _answer(self, message_id: str, text: str, chat: str | None) -> None:
        """Pass the text on to the human agent if there is one, else answer by rote."""
        try:
            if chat:
                await self._bridge.request("POST", f"chats/{chat}/messages", {"id": message_id, "text": text})
        finally:  # Only now, because a tab sends again what it does not see in the history.
            await self._show("customer", text, message_id)
        if chat:
            return
        if not WANTS_A_PERSON.search(text):
            await self._show("bot", f"You said: {text}")
        elif (await self._bridge.request("GET", self._bridge.availability))["status"] == "offline":
            await self._show("bot", "Nobody is available now. Please ask again later.")
        else:
            await self._hand_off()

    async def _hand_off(self) -> None:
        await self._show("bot", "I am getting you a person.")
        turns = [{"role": each["from"], "text": each["text"]} for each in self._history if each["text"]]
        chat, channel, customer = secrets.token_hex(16), self._bridge.channel, {"id": self._customer}
        body = {"id": chat, "channel": channel, "customer": customer, "reason": "asked for a person"}
        await self._bridge.request("POST", "chats", body | {"transcript": turns[-1000:]})
        await self._follow(chat)

    async def _follow(self, chat: str) -> None:
        await self._set(status="Waiting for a person", chat=chat)
        self.tasks[1:] = [asyncio.create_task(self._relay(chat))]

    async def _relay(self, chat: str) -> None:
        """Show the events of a chat until it is over."""
        kind = "chat_ended"
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
                case "agent_message" if not self._has_shown(payload["message_id"]):
                    await self._set(typing="")
                    await self._show("agent", payload["text"], payload["message_id"], payload["attachments"])
                case "message_failed":
                    await self._show("bot", "A message of yours did not reach the person.")
                case "inactivity_warning" | "expiry_warning":
                    await self._show("bot", f"This chat will end in {payload['seconds_left']} seconds.")
        await self._set(status="Echo bot", chat=None, typing="")
        why = "The chat has ended." if kind == "chat_ended" else "Nobody is available now."
        await self._show("bot", f"{why} It is me again; ask for a person to get one.")

    def _has_shown(self, message_id: str) -> bool:
        return any(each["id"] == message_id for each in self._history)

    async def _show(self, speaker: str, text: str, message_id: str = "", links: Sequence[Any] = ()) -> None:
        name = {"customer": "You", "bot": "Bot"}.get(speaker, self._agent)
        self._history.append({"from": speaker, "name": name, "text": text, "id": message_id, "links": links})
        await self._send({"entry": self._history[-1]})

    async def _set(self, **state: object) -> None:
        self._state |= state
        await self._send({"state": self._state})

    async def _send(self, frame: Mapping[str, Any]) -> None:
        for tab in list(self._tabs):
            with suppress(ConnectionError):
                await tab.send_json(frame)


def make_app(url: str, key: str, account: str, project: str, channel: str | None = None) -> web.Application:
    """Build the bot: the page at `/`, and its WebSocket. It starts only if the bridge accepts its requests."""
    conversations: dict[str, Conversation] = {}
    inline = re.findall(r"<(style|script)>(.*?)</\1>", PAGE, re.DOTALL)
    hashes = [f"{tag}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for tag, text in inline]
    policy = "; ".join([*hashes, "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'"])

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def chat(request: web.Request) -> web.WebSocketResponse:
        customer = request.query.get("customer", "")
        if not re.fullmatch("[0-9a-f]{32}", customer):  # It is also the secret that opens the conversation.
            raise web.HTTPBadRequest(text="customer is not 32 hexadecimal digits")
        tab = web.WebSocketResponse(heartbeat=20, max_msg_size=64 * 1024, compress=False)
        await tab.prepare(request)
        if customer not in conversations:
            conversations[customer] = Conversation(request.app[_BRIDGE], customer)
        with suppress(ValueError, ConnectionError):  # no JSON
            await conversations[customer].attach(tab)
        return tab

    async def connect(app: web.Application) -> AsyncIterator[None]:
        base = f"{url.rstrip('/')}/v1/{quote(account)}/{quote(project)}/"
        async with ClientSession(base, headers={"x-api-key": key}, timeout=TIMEOUT) as http:
            bridge = app[_BRIDGE] = Bridge(http, channel)
            await bridge.request("GET", bridge.availability, once=True)
            yield
            for task in [task for each in conversations.values() for task in each.tasks]:
                task.cancel()

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/chat", chat)])
    app.cleanup_ctx.append(connect)
    return app


_BRIDGE = web.AppKey("bridge", Bridge)


def main(host: str, port: int, app: web.Application) -> int:
    """Run the bot until SIGINT or SIGTERM; return the exit code."""
    try:
        web.run_app(app, host=host, port=port, print=partial(print, flush=True), access_log=None, shutdown_timeout=1)
    except (BridgeError, ClientError, OSError, TimeoutError, ValueError) as error:
        sys.stderr.write(f"sipbridge bot: {str(error) or 'no response from the bridge'}\n")
        return 1
    return 0
