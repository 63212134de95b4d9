"""The live page of operators in a browser, while a real call comes and goes, up to the drain."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.web.browser import opened_page

from .site import Contact

NUMBER = "+19995550062"
ADMIN_KEY = "key-of-the-operators"


@pytest.fixture
def watched(tmp_path: Path, cxone: Simulator) -> Iterator[Bridge]:
    """A bridge whose only project hands off at once, and waits long for CXone's BYE."""
    project = project_settings("watched")
    project["handoff"] |= {"release_grace_seconds": 60}
    settings = bridge_settings(tmp_path, {"watch": client_settings(NUMBER, cxone.url, {"watched": project})})
    settings["http"]["admin"] = {"keys": [ADMIN_KEY]}
    with bridge(settings, tmp_path) as running:
        yield running


async def test_operators_see_a_call_come_and_go_and_drain_the_bridge(
    watched: Bridge, cxone: Simulator, tmp_path: Path
) -> None:
    contact = Contact.new()
    headers = f"X-Auth-Token: {token('watched')}\r\nX-InContact-ContactId: {contact.id}\r\n"
    caller = f"From: <sip:+4930901820@127.0.0.1>;tag=caller\r\n{headers}"
    async with opened_page(f"{watched.http}/v1/admin/", tmp_path / "browser") as page:
        await page.until("document.activeElement.id === 'key'", seconds=30)
        await page.type(ADMIN_KEY)
        await page.press("Enter")
        await page.until("state.textContent === 'Taking calls' && live.textContent === 'Live'")
        with RawCall(watched.sip, NUMBER.encode(), caller.encode()) as call:
            await to_thread(call.place)
            await to_thread(lambda: cxone.signals(contact.id, wait_for=1))
            await page.until(f"calls.innerText.includes('Handing off') && calls.innerText.includes('{contact.id}')")
            await page.run("document.querySelector('#calls button').click()")
            await page.until("steps.innerText.includes('Success: accepted')")
            await to_thread(call.end)
            await page.until("steps.innerText.includes('Call ended')")
            await page.press("Escape")
        await page.until("ended.innerText.includes('Success: handed off')")
        assert await page.run("hour.textContent") == "1, 100 % with success"
        health = await page.run("health.innerText")
        for part in ("Agent of watch/watched", "Signal of watch", "Token of watch"):
            assert part in health
        assert page.faults == []
        await page.run("document.getElementById('drain').click()")
        await page.run("document.getElementById('yes').click()")
        assert await to_thread(watched.program.wait, 20) == 0
        await page.until("live.textContent.startsWith('Not live')")
