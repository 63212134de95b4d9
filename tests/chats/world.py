"""A world of one project with one channel, in which chats run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sipbridge.chats import happenings as h
from sipbridge.chats.context import ChatContext
from sipbridge.chats.events import ChatTelemetry
from sipbridge.chats.model import (
    BotMessage,
    ChatEvent,
    ChatEventType,
    ChatRecord,
    HumanAgent,
)
from sipbridge.chats.ports import LiveChat
from sipbridge.chats.reception import Reception
from sipbridge.chats.registry import ChatRegistry
from sipbridge.chats.request import ChatRequest
from sipbridge.config import Config
from tests.fakes.chat_store import FakeChatStore
from tests.fakes.digital_channel import FakeChannel, FakeSession

CLIENT, PROJECT = "acme", "support"
_CXONE = {"client_id": "app", "client_secret": "s", "access_key_id": "key", "access_key_secret": "s"}

_CHAT = {"channels": {"web": {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1"}}}


class World:
    """The store, the channel and the reception of one run of the program, and what they saw.

    `others` are the API keys of other projects with the same channel.
    """

    def __init__(
        self,
        store: FakeChatStore | None = None,
        *,
        others: Mapping[str, str] | None = None,
        **chat: Any,  # noqa: ANN401 (keys of the chat section)
    ) -> None:
        self.store = store or FakeChatStore()
        self.channel = FakeChannel()
        self.published: list[ChatEvent] = []
        self.telemetry: list[ChatTelemetry] = []
        self._changed = asyncio.Event()
        config = Config.model_validate(
            {
                "clients": {
                    CLIENT: {
                        "cxone": _CXONE,
                        "projects": {
                            PROJECT: {
                                "api_keys": ["key-of-support-0001"],
                                "chat": {**_CHAT, **chat},
                            },
                            **{name: {"api_keys": [key], "chat": _CHAT} for name, key in (others or {}).items()},
                        },
                    }
                },
                "max_chats": 3,
            }
        )
        self.context = ChatContext(
            config,
            {(CLIENT, project, "web"): self.channel for project in (PROJECT, *(others or ()))},
            self.store,
            self,
            self.telemetry.append,
            ChatRegistry(),
            lambda record: f"https://bridge.example/pop/{record.chat_id}",
        )
        self.reception = Reception(lambda: self.context)

    def publish(self, _record: ChatRecord, event: ChatEvent) -> None:
        self.published.append(event)
        self._changed.set()

    async def start(self, **request: object) -> ChatRecord:
        return await self.reception.start(CLIENT, PROJECT, ChatRequest.model_validate({"id": "c1", **request}))

    @property
    def live(self) -> LiveChat:
        found = self.context.registry.find(CLIENT, PROJECT, "c1")
        assert found is not None
        return found

    @property
    def session(self) -> FakeSession:
        return self.channel.sessions[-1]

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.type.value, event.payload) for event in self.published]

    async def event(self, kind: ChatEventType | str, count: int = 1) -> dict[str, Any]:
        """Wait until that many events of a kind were published; return the payload of the last one."""
        async with asyncio.timeout(5):
            while True:
                found = [event for event in self.published if event.type == kind]
                if len(found) >= count:
                    return found[count - 1].payload
                self._changed.clear()
                await self._changed.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until the condition holds."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 (nothing signals these conditions)
                await asyncio.sleep(0)

    async def say(self, text: str, message_id: str) -> None:
        await self.live.accept_message(BotMessage(id=message_id, text=text, at=datetime.now(UTC)))

    async def record(self) -> ChatRecord:
        found = await self.store.get(CLIENT, PROJECT, "c1")
        assert found is not None
        return found

    async def ended(self) -> ChatRecord:
        """Wait until no chat is in progress; return its record."""
        await self.until(lambda: self.reception.active == 0)
        record = await self.record()
        assert record.state.is_final
        return record


@asynccontextmanager
async def world(store: FakeChatStore | None = None, **chat: Any) -> AsyncIterator[World]:  # noqa: ANN401 (as above)
    """Run a world; its chats are suspended at the end."""
    made = World(store, **chat)
    try:
        yield made
    finally:
        await made.reception.suspend()


ANNA = HumanAgent(id="7", name="Anna", avatar_url="https://img.example/a.png")
BEN = HumanAgent(id="8", name="Ben")
NOW = datetime.now(UTC)


def message(text: str, message_id: str = "m1") -> h.AgentMessage:
    return h.AgentMessage(message_id, text, NOW)


async def active(w: World) -> None:
    """Start a chat and let a human agent join."""
    await w.start()
    await w.event("handoff_accepted")
    w.channel.happens(h.AgentJoined(ANNA))
    await w.event("agent_joined")
