"""A bot platform that trusts nothing: it repeats what was not acknowledged, and reads all events twice over.

It posts with ids of its own, resumes the stream of a chat at the last sequence, and takes the webhook's events as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

RETRY_SECONDS = 0.05
RESPONSE_SECONDS = 10.0
SILENCE_SECONDS = 20.0  # the bridge sends a comment sooner
LATER = (429, 503)  # 429: if other nodes are dead, one may have as many requests of the bot as it serves at once
FINAL = ("chat_ended", "handoff_failed", "handoff_timeout")
WEBHOOK_SECRET = "secret-of-the-webhook"

Json = dict[str, Any]
_LOST = (aiohttp.ClientError, OSError, TimeoutError)


class BotError(AssertionError):
    """A response that the bridge must not give."""


@dataclass
class BotChat:
    """A chat as the bot sees it. `streamed` are the events with a sequence by the stream, `posted` by the webhook."""

    id: str
    channel: str
    sent: list[str] = field(default_factory=list)
    streamed: list[Json] = field(default_factory=list)
    posted: list[Json] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: Json, events: list[Json]) -> None:
        """Add an event."""
        if event["sequence"] is not None:
            events.append(event)
            self.changed.set()

    def of_type(self, kind: str) -> list[Json]:
        """Return the payloads of the streamed events of a type."""
        return [event["payload"] for event in self.streamed if event["type"] == kind]

    @property
    def received(self) -> list[str]:
        """The texts of the human agent."""
        return [payload["text"] for payload in self.of_type("agent_message")]

    @property
    def fates(self) -> dict[str, str]:
        """The delivery of each message whose fate is reported, by its id, in the order of the reports."""
        kinds = ("message_delivered", "message_failed")
        reported = [event["payload"] for event in self.streamed if event["type"] in kinds]
        return {payload["id"]: payload.get("delivery", "delivered") for payload in reported}

    @property
    def delivered(self) -> list[str]:
        """The texts that were delivered."""
        return [text for number, text in enumerate(self.sent, 1) if self.fates.get(f"m{number}") == "delivered"]

    @property
    def start_is_unknown(self) -> bool:
        """True if the chat failed because CXone's response to its start was lost."""
        return self.of_type("handoff_failed") == [{"reason": "start_unknown"}]

    @property
    def is_over(self) -> bool:
        """True if the stream had its last event."""
        return bool(self.streamed) and self.streamed[-1]["type"] in FINAL

    @property
    def is_over_at_webhook(self) -> bool:
        """True if the webhook had its last event."""
        return any(event["type"] in FINAL for event in self.posted)

    def __str__(self) -> str:
        last = [event["type"] for event in self.streamed[-3:]]
        counts = f"sent {len(self.sent)}, fates {len(self.fates)}, received {len(self.received)}"
        return f"{self.id} ({counts}, last events {last})"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the events."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Bot:
    """The platform of one project at `url`. `webhook_url` is that of its receiver.

    It opens the stream of a chat again after `stream_seconds`, if that is set.
    """

    def __init__(self, key: str) -> None:
        self.url = ""
        self.stream_seconds: float | None = None
        self.webhook_url = ""
        self._key = key
        self._chats: dict[str, BotChat] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"x-api-key": self._key},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=RESPONSE_SECONDS),
        )
        app = web.Application()
        app.router.add_post("/events", self._take_webhook)
        self._receiver = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._receiver.setup()
        site = web.TCPSite(self._receiver, "127.0.0.1", 0)
        await site.start()
        self.webhook_url = f"{site.name}/events".replace(":0/", f":{self._receiver.addresses[0][1]}/")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for task in self._reading:
            task.cancel()
        await self._session.close()
        await self._receiver.cleanup()

    async def start(self, chat: BotChat) -> asyncio.Task[None]:
        """Hand a chat off; return the task that reads its stream."""
        self._chats[chat.id] = chat
        await self._post("chats", {"id": chat.id, "channel": chat.channel, "utterance": f"[{chat.id}]"})
        reading = asyncio.create_task(self._read(chat))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return reading

    async def say(self, chat: BotChat) -> str:
        """Send the next message, and return its text."""
        number = len(chat.sent) + 1
        text = f"[{chat.id}] m{number}"
        await self._post(f"chats/{chat.id}/messages", {"id": f"m{number}", "text": text})
        chat.sent.append(text)
        return text

    async def show_typing(self, chat: BotChat) -> None:
        """Show that the customer types, if the bridge runs just now."""
        with suppress(*_LOST):
            await self._session.post(f"{self.url}/chats/{chat.id}/typing", json={"state": "started"})

    async def end(self, chat: BotChat, by: str) -> None:
        """End a chat. A repeated request may find that it has ended."""
        await self._post(f"chats/{chat.id}/end", {"reason": "done", "by": by}, repeated=(202, 409))

    async def get(self, chat: BotChat) -> Json:
        """Return a chat in full. Raises `BotError`."""
        while True:
            with suppress(*_LOST):
                async with self._session.get(f"{self.url}/chats/{chat.id}") as response:
                    if response.status == 200:
                        found: Json = await response.json()
                        return found
                    if response.status not in LATER:
                        raise BotError(f"{chat.id} got {response.status}: {await response.text()}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _post(self, path: str, body: Json, *, repeated: tuple[int, ...] = (202,)) -> None:
        """Post until the bridge responds with 202, or with one of `repeated` to a repetition. Raises `BotError`."""
        accepted: tuple[int, ...] = (202,)
        while True:
            with suppress(*_LOST):
                async with self._session.post(f"{self.url}/{path}", json=body) as response:
                    if response.status in accepted:
                        return
                    if response.status not in LATER:
                        raise BotError(f"{path} got {response.status}: {await response.text()}")
            accepted = repeated
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, chat: BotChat) -> None:
        timeout = aiohttp.ClientTimeout(total=self.stream_seconds, sock_read=SILENCE_SECONDS)
        while not chat.is_over:
            headers = {"Last-Event-ID": str(chat.streamed[-1]["sequence"])} if chat.streamed else {}
            with suppress(*_LOST):
                url = f"{self.url}/chats/{chat.id}/events"
                async with self._session.get(url, headers=headers, timeout=timeout) as response:
                    if response.status not in (200, *LATER):
                        raise BotError(f"the events of {chat.id} got {response.status}")
                    async for line in response.content:
                        if line.startswith(b"data: ") and line.endswith(b"\n"):
                            chat.take(json.loads(line[6:]), chat.streamed)
            await asyncio.sleep(RETRY_SECONDS)

    async def _take_webhook(self, request: web.Request) -> web.Response:
        event = await request.json()
        chat = self._chats[event["chat_id"]]
        chat.take(event, chat.posted)
        return web.Response()
