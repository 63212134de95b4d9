"""A person acts as a human agent on the desk page, with the keyboard."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.conversation import State
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT
from tests.harness.web.browser import opened_page

from .chat_client import ChatClient, connected, new_id

pytestmark = pytest.mark.program


async def test_a_chat_is_served_with_the_keyboard_alone(
    http: aiohttp.ClientSession, desk: Desk, tmp_path: Path
) -> None:
    thread = new_id()
    async with opened_page(await desk_url(http), tmp_path) as page:
        await page.until("$('connection').textContent === 'Connected'")
        async with connected(http, LIVECHAT.id) as client, connected(http, LIVECHAT.id, "customer-2") as other:
            await client.say(thread, "Hello,\n<b>my invoice</b> is wrong")
            await other.say(new_id(), "Another question")
            await page.until("document.title === '(2) Desk'")

            await page.run("document.querySelector('nav button').focus()")
            for key in ("ArrowDown", "ArrowUp", "Enter"):
                await page.press(key)
            await page.until("document.activeElement.id === 'accept'")
            assert await page.run("$('messages').textContent.includes('<b>my invoice</b>')")
            await page.press("Enter")
            await page.until("document.activeElement.id === 'text'")
            await page.type("Good morning,")
            assert (await client.push("SenderTypingStarted"))["data"]["user"]["firstName"] == "Ada"
            await page.press("Enter", "Shift")
            await page.type("I see.")
            await page.press("Enter")
            assert await next_text_of_the_agent(client) == "Good morning,\nI see."

            await client.send("SenderTypingStarted", {"thread": {"idOnExternalPlatform": thread}})
            await page.until("$('typing').textContent === 'Grace Hopper is typing…'")
            await page.screenshot("desk-light")
            await client.say(thread, "Thanks")
            await page.until("$('messages').children.length === 3 && $('typing').textContent === ''")
            assert (await client.push("MessageReadChanged"))["data"]["message"]["userStatistics"]["seenAt"]

            await page.prefer("dark")
            await page.screenshot("desk-dark")
            await page.press("Escape")
            await page.until("document.activeElement.getAttribute('aria-current') === 'true'")
        assert page.faults == []
    assert [chat.state for chat in desk.conversations()] == [State.ACTIVE, State.WAITING]


async def test_a_chat_is_transferred_left_and_closed(http: aiohttp.ClientSession, desk: Desk, tmp_path: Path) -> None:
    async with opened_page(await desk_url(http), tmp_path) as page, connected(http) as client:
        await client.say(new_id())
        [chat] = desk.conversations()
        await page.until("document.querySelector('nav button').click() || open")
        await page.until("document.activeElement.id === 'accept'")
        await page.run("$('accept').click()")
        await page.until("!$('text').disabled")

        await page.run("document.querySelector('details').open = true, $('link').focus()")
        await page.type("https://example.com/a.pdf")
        await page.press("Enter")
        await page.until("$('messages').querySelector('a').textContent === 'a.pdf'")
        assert chat.messages[-1].attachments[0].url == "https://example.com/a.pdf"

        await page.run("$('via-queue').click(), document.querySelector('#transfer button').click()")
        await page.until("$('summary').textContent.includes('Ben O.')")
        assigned = [(await client.push("CaseInboxAssigneeChanged"))["data"]["inboxAssignee"] for _ in range(3)]
        assert [agent and agent["id"] for agent in assigned] == [101, None, 102]

        await page.run("$('leave').click()")
        await page.until("!$('accept').hidden && $('text').disabled")
        await page.run("$('accept').click()")
        await page.until("!$('close').disabled")
        await page.run("$('close').click()")
        await page.until("$('closed').children.length === 1")
        assert (chat.state, chat.closed_by) == (State.CLOSED, "agent")

        await page.resize(320, 640)
        assert await page.run("document.documentElement.scrollWidth") <= 320
        await page.screenshot("desk-narrow")
        desk.clear()
        await page.until("$('chat').hidden && !document.querySelector('nav li')")
        assert page.faults == []


async def test_an_update_that_arrives_late_does_not_take_the_focus(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with opened_page(await desk_url(http), tmp_path) as page, connected(http) as client:
        await client.say(new_id())
        await page.until("document.querySelector('nav button').click() || open")
        await page.until("document.activeElement.id === 'accept'")
        waiting = await page.run("conversations.get(open)")
        await page.press("Enter")
        await page.until("document.activeElement.id === 'text'")
        active = await page.run("conversations.get(open)")
        await page.run(f"conversations.set(open, {json.dumps(waiting)}), render()")
        await page.until("document.activeElement === document.body")
        await page.run(f"conversations.set(open, {json.dumps(active)}), render()")
        await page.until("document.activeElement.id === 'text'")


async def test_a_refused_action_shows_its_reason(http: aiohttp.ClientSession, desk: Desk, tmp_path: Path) -> None:
    async with opened_page(await desk_url(http), tmp_path) as page, connected(http) as client:
        await client.say(new_id())
        await page.until("document.querySelector('nav button').click() || open")
        await page.until("document.activeElement.id === 'accept'")
        [chat] = desk.conversations()
        await page.run(f"attempt(() => call('conversations/{chat.id}/leave', {{}}))")
        await page.until("$('problem').textContent.includes('accept it first')")
        await page.run("$('accept').click()")
        await page.until("$('problem').textContent === ''")


async def desk_url(http: aiohttp.ClientSession) -> str:
    async with http.get("/simulator/desk") as response:
        return str(response.url)


async def next_text_of_the_agent(client: ChatClient) -> str:
    while True:
        message = (await client.push("MessageCreated"))["data"]["message"]
        if message["direction"] == "outbound":
            return str(message["messageContent"]["payload"]["text"])
