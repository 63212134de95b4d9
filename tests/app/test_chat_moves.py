from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest

from sipbridge.app.chat_moves import MovingChats
from sipbridge.dns import Resolver
from sipbridge.webhooks import ChatSource, WebhookSender
from tests.web.chats import ChatBridge, chat_bridge


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[ChatBridge]:
    async with chat_bridge(tmp_path) as running:
        yield running


@pytest.fixture
async def moving(bridge: ChatBridge) -> MovingChats:
    source = ChatSource(bridge.world.store)
    sender = WebhookSender(source, lambda _: None, Resolver(time.monotonic), lambda _: None)
    return MovingChats(bridge.world.reception, bridge.chats.feed, bridge.pages, source, sender)


async def start(bridge: ChatBridge) -> str:
    """Start a chat; return the path of its page."""
    assert (await bridge.start("c1", reason="missing_invoice"))[0] == 202
    await bridge.world.event("handoff_accepted")
    return bridge.pop_links.make_for_chat(bridge.world.live.record).removeprefix(bridge.config.http.public_url)


@pytest.mark.parametrize("how", ["release", "abandon"])
async def test_an_open_page_of_a_chat_that_moves_ends_and_then_follows_its_log(
    bridge: ChatBridge, moving: MovingChats, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    followed: list[str] = []

    def follow(uid: str, _: object) -> AbstractAsyncContextManager[None]:
        followed.append(uid)
        return nullcontext()

    monkeypatch.setattr(bridge.world.store, "follow", follow)
    url = f"{bridge.base}{await start(bridge)}/events"
    record = bridge.world.live.record
    async with asyncio.timeout(10), bridge.session.get(url) as page:
        assert b'"In the queue"' in await page.content.readany()
        assert not followed
        if how == "release":
            await moving.release()
        else:
            moving.abandon()
        # A page that is opened in this moment must not wait for events of a chat that no longer has any here.
        assert not bridge.chats.has(record)
        assert not await page.content.read()
        async with bridge.session.get(url) as again:
            assert b'"In the queue"' in await again.content.readany()
    assert followed == [record.uid]
