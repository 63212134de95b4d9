from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sipbridge.chats import happenings as h
from sipbridge.errors import StoreError
from sipbridge.web.api import pop_events
from tests.chats.world import ANNA, message
from tests.harness.web.browser import opened_page
from tests.web.chats import ChatBridge, chat_bridge
from tests.web.screen_pop.test_page import EVIL, Tags, fetch

CUSTOMER = {"id": "c-7", "first_name": "Noor", "last_name": "Haddad", "phone": "+31201234567", "email": "n@example.com"}
TALK = [{"role": "user", "text": "Where is my invoice?"}, {"role": "bot", "text": "I do not know."}]
LOG = "[...document.querySelectorAll('#log > div')].map(each => each.querySelector('.text').textContent).join('|')"
STATE = "document.getElementById('state').textContent"


@pytest.fixture
async def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatBridge]:
    monkeypatch.setattr(pop_events, "UPDATE_SECONDS", 0.0)
    async with chat_bridge(tmp_path) as running:
        yield running


async def start(bridge: ChatBridge, **body: Any) -> str:  # noqa: ANN401 (JSON)
    """Start a chat; return the path of its page."""
    given = {"reason": "missing_invoice", "customer": CUSTOMER, "transcript": TALK, "data": {"invoice": "1042"}}
    assert (await bridge.start("c1", **given | body))[0] == 202
    await bridge.world.event("handoff_accepted")
    return bridge.pop_links.make_for_chat(bridge.world.live.record).removeprefix(bridge.config.http.public_url)


async def test_the_page_of_a_chat_shows_the_customer_and_the_state(bridge: ChatBridge) -> None:
    path = await start(bridge, utterance="A colleague takes over.")
    _, _, page = await fetch(bridge, path)
    body = " ".join(Tags(page).text.split())
    expected = [
        *("In the queue", "Waiting", "Noor Haddad", "+31201234567", "n@example.com", "Missing invoice"),
        *("Where is my invoice?", "A colleague takes over.", "1042", "I do not know.", "Identifiers", "c1"),
    ]
    body = body[body.index("In the queue") :]
    assert sorted(expected, key=body.index) == expected
    bridge.world.channel.happens(h.AgentJoined(ANNA))
    await bridge.world.event("agent_joined")
    assert "Chat in progress Waited" in " ".join(Tags((await fetch(bridge, path))[2]).text.split())
    bridge.world.channel.happens(h.ContactClosed())
    await bridge.world.ended()
    _, _, page = await fetch(bridge, path)
    assert "The chat is over Waited" in " ".join(Tags(page).text.split())
    assert "data-events" not in page


async def test_the_stream_of_a_page_ends_without_a_second_response_if_the_store_fails(
    bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await start(bridge)

    async def fail(_uid: str) -> NoReturn:
        raise StoreError("Redis has not responded")

    monkeypatch.setattr(bridge.world.store, "read", fail)
    async with asyncio.timeout(5), bridge.session.get(f"{bridge.base}{path}/events") as response:
        assert response.status == 200
        assert b"HTTP/" not in await response.read()


async def test_no_value_of_a_chat_becomes_markup(bridge: ChatBridge) -> None:
    values = dict.fromkeys(("id", "first_name", "last_name", "phone", "email"), EVIL)
    path = await start(bridge, reason=EVIL, customer=values, transcript=[{"role": "user", "text": EVIL}])
    page = Tags((await fetch(bridge, path))[2])
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in page.tags}.isdisjoint({"img"})
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "evil" not in page.text


async def test_the_messages_of_both_sides_appear_live_and_after_a_reload(bridge: ChatBridge, tmp_path: Path) -> None:
    path = await start(bridge)
    async with opened_page(bridge.base + path, tmp_path / "browser") as page:
        await page.resize(1200, 900)
        await page.until(f"document.getElementById('live').textContent === 'Live' && {STATE} === 'In the queue'")
        bridge.world.channel.happens(h.AgentJoined(ANNA))
        await page.until(f"{STATE} === 'Chat in progress'")
        bridge.world.channel.happens(message("Good morning, <b>which</b> month?"))
        await bridge.world.event("agent_message")
        await bridge.world.say("March, please", "m2")
        talk = "Where is my invoice?|I do not know.|Good morning, <b>which</b> month?|March, please"
        await page.until(f"{LOG} === {json.dumps(talk)}")
        await page.screenshot("pop-chat")
        await page.run("window.isOld = true")
        await page.send("Page.reload")
        await page.until(f"!window.isOld && {LOG} === {json.dumps(talk)}")
        names = "[...document.querySelectorAll('#log .name')].map(each => each.firstChild.textContent.trim()).join()"
        assert await page.run(names) == "Customer,Assistant,Agent,Customer"
        bridge.world.channel.happens(h.ContactClosed())
        await page.until(f"{STATE} === 'The chat is over' && !document.getElementById('live')")
        assert page.faults == []
