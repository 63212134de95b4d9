"""The bot's page and the desk page in a real browser, with the bridge and the simulated CXone between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT
from tests.harness.ports import free_port
from tests.harness.programs.bot import bot
from tests.harness.programs.bridge import Project, bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import Settings, bridge_settings, chat_project_settings, client_settings, key
from tests.harness.web.browser import Page, opened_page

LAST = "log.lastElementChild"
STATUS = "document.getElementById('status').textContent"
TYPING = "document.getElementById('typing').textContent"
BACKGROUND = "getComputedStyle(log.querySelector('.bot')).backgroundColor"
PROBLEM = "document.getElementById('problem').textContent"


@pytest.fixture
def cxone(tmp_path: Path) -> Iterator[Simulator]:
    """A CXone of its own: its desk page has the chats of one test."""
    with simulator(tmp_path) as running:
        yield running


async def test_a_customer_and_human_agents_chat_with_the_keyboard_alone(cxone: Simulator, tmp_path: Path) -> None:
    with bridge(settings(tmp_path, cxone), tmp_path) as running, bot(project_of(running.http), tmp_path) as example:
        async with pages(example.url, cxone, tmp_path) as (widget, desk):
            await ask_for_a_person(widget)
            await accept(desk, widget)
            await write_to_the_customer(desk, widget)
            await write_to_the_human_agent(widget, desk)
            await attach_a_link(desk, widget)
            await transfer(desk, widget)
            await reload(widget)
            await look_at_it_on_a_narrow_dark_screen(widget)
            await close(desk, widget)
            assert (widget.faults, desk.faults) == ([], [])


async def ask_for_a_person(widget: Page) -> None:
    await widget.until(f"{STATUS} === 'Echo bot' && {LAST}.textContent.includes('Hello! I echo.')")
    assert await widget.run("document.activeElement.id") == "text"
    await widget.screenshot("widget-bot")
    await write(widget, "A person, <b>please</b>")
    await widget.until(f"{STATUS} === 'Waiting for a person, you are number 1'")
    assert await widget.run("log.querySelector('.customer').textContent") == "YouA person, <b>please</b>"
    await widget.screenshot("widget-queue")


async def accept(desk: Page, widget: Page) -> None:
    await desk.until("$('waiting').children.length === 1")
    await desk.run("document.querySelector('nav button').focus()")
    await desk.press("Enter")
    await desk.until("document.activeElement.id === 'accept'")
    await desk.press("Enter")
    await desk.until("document.activeElement.id === 'text' && !$('text').disabled")
    await widget.until(f"{STATUS} === 'You are talking to Ada Quinn' && !end.hidden")


async def write_to_the_customer(desk: Page, widget: Page) -> None:
    await desk.type("<img src=x onerror=alert(1)>")
    await widget.until(f"{TYPING} === 'Ada Quinn is typing …'")
    await widget.screenshot("widget-typing")
    await desk.press("Enter")
    await widget.until(f"{LAST}.textContent === 'Ada Quinn<img src=x onerror=alert(1)>' && {TYPING} === ''")
    assert await widget.run("log.querySelector('b, img')") is None


async def write_to_the_human_agent(widget: Page, desk: Page) -> None:
    await widget.type("March,")
    await desk.until("$('typing').textContent.endsWith('is typing…')")
    await widget.press("Enter", "Shift")
    await write(widget, "please")
    await desk.until("$('messages').lastElementChild.textContent.includes('March,\\nplease')")
    await widget.until(f"{LAST}.className === 'customer'")


async def attach_a_link(desk: Page, widget: Page) -> None:
    for url in ("javascript:alert(1)", "https://example.com/march.pdf"):
        await desk.run("document.querySelector('details').open = true, $('link').focus()")
        await desk.type(url)
        await desk.press("Enter")
        await desk.until("$('link').value === ''")
    await widget.until(f"{LAST}.querySelector('a').textContent === 'march.pdf'")
    assert await widget.run("[...log.querySelectorAll('a')].map(link => link.href)") == [
        "https://example.com/march.pdf"
    ]


async def transfer(desk: Page, widget: Page) -> None:
    await desk.run("$('via-queue').click(), document.querySelector('#transfer button').focus()")
    await desk.press("Enter")
    await widget.until(f"{STATUS} === 'You are being transferred'")
    await widget.until(f"{STATUS} === 'You are talking to Ben O.'")
    assert await desk.run("$('summary').textContent.includes('with Ben O.')")
    await desk.screenshot("desk-chat")


async def reload(widget: Page) -> None:
    said = await widget.run("log.innerText")
    await widget.run("window.isOld = true")
    await widget.send("Page.reload")
    await widget.until(f"!window.isOld && {STATUS} === 'You are talking to Ben O.'")
    assert await widget.run("log.innerText") == said


async def look_at_it_on_a_narrow_dark_screen(widget: Page) -> None:
    await widget.resize(320, 568)
    assert await widget.run("document.documentElement.scrollWidth") <= 320
    await widget.until("log.scrollTop + log.clientHeight >= log.scrollHeight - 1")
    await widget.screenshot("widget-narrow")
    light = await widget.run(BACKGROUND)
    await widget.prefer("dark")
    assert await widget.run(BACKGROUND) != light
    await widget.screenshot("widget-dark")


async def close(desk: Page, widget: Page) -> None:
    await desk.run("$('close').focus()")
    await desk.press("Enter")
    await widget.until(f"{STATUS} === 'Echo bot' && end.hidden && {LAST}.textContent.includes('has ended')")
    await write(widget, "Thank you")
    await widget.until(f"{LAST}.textContent === 'BotYou said: Thank you'")
    await widget.screenshot("widget-after")


async def test_the_customer_ends_the_chat_with_the_keyboard(cxone: Simulator, tmp_path: Path) -> None:
    with bridge(settings(tmp_path, cxone), tmp_path) as running, bot(project_of(running.http), tmp_path) as example:
        async with opened_page(example.url, tmp_path / "widget") as widget:
            await widget.until(f"{STATUS} === 'Echo bot'")
            await write(widget, "A person, please")
            cxone.desk.accept(cxone.desk.chat(state="waiting"))
            await widget.until(f"{STATUS} === 'You are talking to Ada Quinn'")
            await widget.run("end.focus()")
            await widget.press("Enter")
            await widget.until(f"{STATUS} === 'Echo bot' && document.activeElement.id === 'text'")
            assert cxone.desk.chat(state="closed")
            assert widget.faults == []


async def test_the_page_survives_restarts_of_the_bot_and_the_bridge_without_losing_a_message(
    cxone: Simulator, tmp_path: Path
) -> None:
    config = settings(tmp_path, cxone, http={"listen": f"127.0.0.1:{free_port()}"})
    port = free_port()
    with bridge(config, tmp_path) as running:
        project = project_of(running.http)
        with bot(project, tmp_path, listen=f"127.0.0.1:{port}") as example:
            async with opened_page(example.url, tmp_path / "widget") as widget:
                await widget.until(f"{STATUS} === 'Echo bot'")
                await write(widget, "A person, please")
                chat = cxone.desk.chat(state="waiting")
                cxone.desk.accept(chat)
                await widget.until(f"{STATUS} === 'You are talking to Ada Quinn'")
                await write(widget, "one")
                cxone.desk.messages(chat, direction="inbound", wait_for=2)

                example.program.kill()
                await widget.until(f"{PROBLEM} === 'Connecting again …'")
                cxone.desk.say(chat, "two")
                await write(widget, "three")
                assert await widget.run(f"{LAST}.className") == "customer unsent"
                await widget.screenshot("widget-reconnecting")
                with bot(project, tmp_path, listen=f"127.0.0.1:{port}"):
                    await widget.until(f"{PROBLEM} === '' && {STATUS} === 'You are talking to Ada Quinn'")
                    await widget.until("!log.querySelector('.unsent')")
                    assert await texts(widget) == ["A person, please", "one", "two", "three"]

                    running.program.kill()
                    await write(widget, "four")
                    await widget.until(f"{LAST}.className === 'customer unsent'")
                    with bridge(config, tmp_path, name="again"):
                        cxone.desk.messages(chat, direction="inbound", wait_for=4)
                        cxone.desk.say(chat, "five")
                        await widget.until("!log.querySelector('.unsent') && log.textContent.includes('five')", 20)
                        assert await texts(widget) == ["A person, please", "one", "two", "three", "four", "five"]
                        sent = [each["text"] for each in cxone.desk.messages(chat, direction="inbound")]
                        assert sent[1:] == ["one", "three", "four"]


@asynccontextmanager
async def pages(bot_url: str, cxone: Simulator, folder: Path) -> AsyncIterator[tuple[Page, Page]]:
    async with (
        opened_page(bot_url, folder / "widget") as widget,
        opened_page(f"{cxone.url}/simulator/desk", folder / "desk") as desk,
    ):
        await desk.until("$('connection').textContent === 'Connected'")
        yield widget, desk


async def write(widget: Page, text: str) -> None:
    await widget.type(text)
    await widget.press("Enter")


async def texts(widget: Page) -> list[str]:
    """Return what the customer and human agents wrote, as the page shows it."""
    found = await widget.run("[...log.querySelectorAll('.customer, .agent')].map(item => item.childNodes[1].data)")
    return list(found)


def settings(folder: Path, cxone: Simulator, **changes: object) -> Settings:
    project = chat_project_settings("chat", cxone.url, {"web": LIVECHAT.id}, show_agent=True)
    client = client_settings("+19995550001", cxone.url, {"chat": project})
    return bridge_settings(folder, {"acme": client}) | changes


def project_of(http: str) -> Project:
    return Project(f"{http}/v1/acme/chat", key("chat"))
