"""A small chat bot with a web page, to try the bridge with and to copy: it echoes, and hands off on request.

It uses the chat operations of the bridge's HTTP API (docs/chat.md). It needs aiohttp and nothing of sipbridge. To make
a bot of your own, copy this file and its page, replace `_answer`, and keep the conversations in a database.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientResponseError, ClientSession, ClientTimeout, WSMsgType, web

PAGE = Path(__file__).with_name("echo_bot.html")
WANTS_A_PERSON = re.compile(r"\b(person|human|agent|someone)\b", re.IGNORECASE)
RETRY_SECONDS = 1.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


class Bridge:
    """The chat operations of the bridge, for one project."""

    def __init__(self, http: ClientSession, url: str, account: str, project: str, channel: str | None) -> None:
        self._http = http
        self._base = f"{url.rstrip('/')}/v1/{quote(account)}/{quote(project)}"
        self._channel = channel

    async def start(self, chat_id: str, reason: str, transcript: list[dict[str, str]]) -> None:
        """Hand a conversation off. Sent again with the same id, it changes nothing."""
        body = {"id": chat_id, "channel": self._channel, "reason": reason, "transcript": transcript}
        await self._post("chats", body)

    async def say(self, chat_id: str, message_id: str, text: str) -> None:
        """Send what the customer wrote. Sent again with the same id, it changes nothing."""
        await self._post(f"chats/{chat_id}/messages", {"id": message_id, "text": text})

    async def typing(self, chat_id: str, state: str) -> None:
        """Show the human agent that the customer types."""
        await self._post(f"chats/{chat_id}/typing", {"state": state})

    async def end(self, chat_id: str) -> None:
        """End the chat on behalf of the customer."""
        await self._post(f"chats/{chat_id}/end", {"by": "customer", "reason": "customer left"})

    async def events(self, chat_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a chat until it is over. Reconnects, and resumes after the last event: none is lost."""
        after = 0
        over = ("chat_ended", "handoff_failed", "handoff_timeout")
        while True:
            url = f"{self._base}/chats/{chat_id}/events?after={after}"
            with suppress(ClientError, asyncio.TimeoutError):
                async with self._http.get(url, timeout=ClientTimeout(total=None, sock_read=60)) as stream:
                    stream.raise_for_status()
                    async for line in stream.content:
                        if line.startswith(b"data:"):
                            event = json.loads(line[5:])
                            after = event["sequence"] or after
                            yield event
                            if event["type"] in over:
                                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        """Post until the bridge has it. A refusal raises `ClientResponseError`; no answer and 5xx are tried again."""
        while True:
            try:
                async with self._http.post(f"{self._base}/{path}", json=body) as response:
                    if response.status < 500:  # noqa: PLR2004 (the bridge decided)
                        response.raise_for_status()
                        return
            except ClientResponseError:
                raise
            except (TimeoutError, ClientError):
                pass
            await asyncio.sleep(RETRY_SECONDS)


class Conversation:
    """One conversation with a customer, in however many browser tabs it is open."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._history: list[dict[str, Any]] = []
        self._tabs: set[web.WebSocketResponse] = set()
        self._chat_id: str | None = None
        self._relay: asyncio.Task[None] | None = None

    async def attach(self, tab: web.WebSocketResponse) -> None:
        """Serve a tab until it closes: first what was said so far, then what is said."""
        for entry in self._history or [await self._show("bot", "Hello! I echo. Ask for a person to get one.")]:
            await tab.send_json(entry)
        self._tabs.add(tab)
        try:
            async for message in tab:
                if message.type is WSMsgType.TEXT:
                    await self._receive(json.loads(message.data))
        finally:
            self._tabs.discard(tab)

    async def _receive(self, entry: dict[str, Any]) -> None:
        try:
            match entry:
                case {"type": "typing", "state": "started" | "stopped" as state} if self._chat_id:
                    await self._bridge.typing(self._chat_id, state)
                case {"type": "end"} if self._chat_id:
                    await self._bridge.end(self._chat_id)
                case {"type": "message", "id": str(message_id), "text": str(text)} if text.strip():
                    # A tab that reconnects sends again what it does not know to have arrived.
                    if not any(said.get("id") == message_id for said in self._history):
                        await self._show("customer", text, id=message_id)
                        await self._answer(message_id, text)
        except ClientResponseError as error:
            await self._show("status", f"Not sent: the bridge responded with {error.status}.")

    async def _answer(self, message_id: str, text: str) -> None:
        """Pass the text on to the human agent if there is one, else answer by rote."""
        if self._chat_id is not None:
            await self._bridge.say(self._chat_id, message_id, text)
        elif WANTS_A_PERSON.search(text):
            await self._hand_off()
        else:
            await self._show("bot", f"You said: {text}")

    async def _hand_off(self) -> None:
        await self._show("bot", "I am getting you a person.")
        spoken = [each for each in self._history if each["from"] in ("customer", "bot")]
        transcript = [{"role": each["from"], "text": each["text"]} for each in spoken]
        chat_id = str(uuid.uuid4())
        await self._bridge.start(chat_id, "asked for a person", transcript)
        self._chat_id = chat_id
        self._relay = asyncio.create_task(self._relay_events(chat_id))

    async def _relay_events(self, chat_id: str) -> None:
        async for event in self._bridge.events(chat_id):
            payload = event["payload"]
            match event["type"]:
                case "handoff_accepted":
                    await self._show("status", "Waiting for a person …")
                case "queue_status":
                    await self._show("status", f"You are number {payload.get('position_in_queue', '?')} in the queue.")
                case "agent_joined":
                    await self._show("status", f"{payload['agent'].get('name', 'A person')} has joined.")
                case "agent_left":
                    await self._show("status", "One moment, you are being transferred.")
                case "agent_message":
                    links = [{"url": each["url"], "name": each["name"]} for each in payload["attachments"]]
                    await self._show("agent", payload["text"], links=links)
                case "agent_typing":
                    await self._send({"from": "typing", "text": payload["state"]})
                case "inactivity_warning":
                    await self._show("status", f"Are you there? The chat ends in {payload['seconds_left']} seconds.")
                case "chat_ended" | "handoff_failed" | "handoff_timeout" as kind:
                    self._chat_id = None
                    ended = kind == "chat_ended"
                    await self._show("status", "The chat has ended." if ended else "Nobody is available now.")
                    await self._show("bot", "It is me again. Ask for a person to get one.")

    async def _show(self, speaker: str, text: str, **more: object) -> dict[str, Any]:
        entry = {"from": speaker, "text": text, **more}
        self._history.append(entry)
        await self._send(entry)
        return entry

    async def _send(self, entry: dict[str, Any]) -> None:
        for tab in list(self._tabs):
            with suppress(ConnectionError):
                await tab.send_json(entry)


def make_app(url: str, key: str, account: str, project: str, channel: str | None = None) -> web.Application:
    """Build the bot: the page at `/`, and its WebSocket."""
    conversations: dict[str, Conversation] = {}

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE, headers=_HEADERS)

    async def chat(request: web.Request) -> web.WebSocketResponse:
        tab = web.WebSocketResponse(heartbeat=20, max_msg_size=64 * 1024)
        await tab.prepare(request)
        customer = request.query.get("customer", "")[:64]
        with suppress(ValueError, ConnectionError):  # no JSON
            await conversations.setdefault(customer, Conversation(request.app[_BRIDGE])).attach(tab)
        return tab

    async def connect(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(headers={"x-api-key": key}) as http:
            app[_BRIDGE] = Bridge(http, url, account, project, channel)
            yield

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/chat", chat)])
    app.cleanup_ctx.append(connect)
    return app


_BRIDGE = web.AppKey("bridge", Bridge)


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sys.stdout.write(f"echo bot ready: http://{host}:{runner.addresses[0][1]}/\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def main(host: str, port: int, app: web.Application) -> int:
    """Run the bot until SIGINT or SIGTERM; return the exit code."""
    try:
        asyncio.run(_serve(app, host, port))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0
