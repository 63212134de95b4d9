from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import TurnsAdded
from sipbridge.web import PageFeed, make_app
from tests.store.chats.chats import make_chat
from tests.store.records import make_record
from tests.web.conftest import Bridge

KEY = ("acme", "billing", "call-1")


async def test_a_watcher_gets_the_newest_record_once() -> None:
    feed, newest = PageFeed(), make_record(contact_id="newest")
    with feed.watch(KEY) as watcher:
        feed(TurnsAdded(make_record()))
        feed(TurnsAdded(newest))
        assert await watcher.change() is newest
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await watcher.change()
    feed(TurnsAdded(newest))  # there is no watcher any more


async def test_the_end_of_the_application_ends_the_streams_of_pages(bridge: Bridge) -> None:
    app = make_app(bridge.deps())
    app.freeze()
    with bridge.pages.watch(KEY) as watcher:
        await app.shutdown()
        assert await watcher.change() is None


async def test_a_stream_that_was_ended_stays_so() -> None:
    feed, chat = PageFeed(), make_chat()
    key = (chat.client, chat.project, chat.chat_id)
    with feed.watch(key) as watcher, feed.watch(KEY) as other:
        feed.end(chat)
        feed.send(chat)
        async with asyncio.timeout(5):
            assert await watcher.change() is None
            assert await watcher.change() is None
        feed.send(make_record())
        assert await other.change() is not None, "the streams of others go on"
