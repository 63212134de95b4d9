"""A running API with the chats of a world behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.config import StoreConfig
from sipbridge.store import open_store
from sipbridge.web import ChatDeps, ChatFeed, make_app, start_web
from sipbridge.web.server.auth import FindBox
from tests.chats.world import CLIENT, PROJECT, World
from tests.fakes.channel_box import FakeBox
from tests.web.conftest import Bridge

KEY = "key-of-support-0001"
OTHER_PROJECT, OTHER_KEY = "sales", "key-of-sales-00001"
BOX = f"/byoc/{CLIENT}/{PROJECT}/sms"


class ChatBridge(Bridge):
    """A `Bridge` whose requests are for the project with chats unless their path says otherwise."""

    project = f"/v1/{CLIENT}/{PROJECT}"
    world: World
    box: FakeBox
    find_box: FindBox
    recovered = True

    async def start(self, chat_id: str = "c1", **body: object) -> tuple[int, Any]:
        """Request a chat."""
        return await self.post("chats", KEY, {"id": chat_id, **body})


@asynccontextmanager
async def chat_bridge(folder: Path, **chat: Any) -> AsyncIterator[ChatBridge]:  # noqa: ANN401 (keys of the chat section)
    """Run an API on the chats of a world; `chat` are keys of its chat section."""
    world, feed = World(others={OTHER_PROJECT: OTHER_KEY}, **chat), ChatFeed()

    def publish(record: ChatRecord, event: ChatEvent) -> None:
        World.publish(world, record, event)
        feed.publish(record, event)
        bridge.pages.publish(record, event)

    world.publish = publish  # type: ignore[method-assign,assignment]  # both see the events
    store = await open_store(StoreConfig(url=f"sqlite:///{folder}/calls.db"))
    async with aiohttp.ClientSession() as session:
        box, sms = FakeBox(), (CLIENT, PROJECT, "sms")
        deps = ChatDeps(
            world.reception,
            world.context.registry,
            world.store,
            feed,
            lambda *key: bridge.find_box(*key),  # noqa: PLW0108 (a test may change it)
            lambda: bridge.recovered,
        )
        bridge = ChatBridge(world.context.config, store, session, chats=deps)
        bridge.world, bridge.box, bridge.find_box = world, box, lambda *key: box if key == sms else None
        runner, (host, port) = await start_web(make_app(bridge.deps()), "127.0.0.1", 0)
        bridge.base = f"http://{host}:{port}"
        try:
            yield bridge
        finally:
            await world.reception.suspend()
            await runner.cleanup()
            await store.close()
