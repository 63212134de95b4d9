"""The page for operators in Chromium: the key, what it shows, its buttons, for the eye and for assistive technology."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sipbridge.calls.events import AgentFault, CallEnded, CallStarted
from sipbridge.calls.model import CallState
from sipbridge.chats.request import ChatRequest
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.web import NodeReport
from sipbridge.web.operators import timelines
from tests.harness.axe import axe
from tests.harness.web.browser import Page, opened_page
from tests.store.records import make_handoff
from tests.web.api.test_admin import served
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, FakeNodes, make_config
from tests.web.operators import samples

EVIL = """<script>alert(1)</script><img src=x onerror=alert(1)>"' onmouseover=alert(1) &amp;"""
OPEN = "!desk.hidden && live.textContent === 'Live'"
NODES = (
    NodeReport("node-a", "http://10.0.0.5:8080", "alive", is_this=True, calls=6, max_calls=500),
    NodeReport("node-b", "http://10.0.0.6:8080", "draining", is_this=False, calls=41, max_calls=500),
    NodeReport("node-c", "http://10.0.0.7:8080", "lost", is_this=False, calls=None, max_calls=None),
)


@asynccontextmanager
async def gate(bridge: Bridge, folder: Path) -> AsyncIterator[Page]:
    """Open the page, which asks for the key."""
    async with opened_page(f"{bridge.base}/v1/admin/", folder) as page:
        await page.resize(1280, 1000)
        await page.until("document.activeElement.id === 'key'", seconds=30)
        yield page


@asynccontextmanager
async def opened(bridge: Bridge, folder: Path) -> AsyncIterator[Page]:
    """Open the page, and type in the key."""
    async with gate(bridge, folder) as page:
        await enter(page, ADMIN_KEY)
        await page.until(OPEN)
        yield page


async def enter(page: Page, key: str) -> None:
    await page.type(key)
    await page.press("Enter")


def text_of(element: str) -> str:
    return f"document.getElementById({json.dumps(element)}).innerText"


def cells(table: str) -> str:
    return f"[...document.querySelectorAll('#{table} tbody tr')].map(row => row.innerText).join('\\n')"


async def test_the_key_is_typed_in_and_kept_in_the_memory_of_the_page_only(bridge: Bridge, tmp_path: Path) -> None:
    async with gate(bridge, tmp_path) as page:
        await enter(page, "wrong")
        await page.until("refused.textContent === 'This key is not valid'")
        assert (
            await page.run("desk.hidden && document.activeElement.id === 'key' && document.activeElement.value") == ""
        )
        await enter(page, ADMIN_KEY)
        await page.until(OPEN)
        kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, document.body.outerHTML])"
        assert ADMIN_KEY not in await page.run(f"{kept} + location.href + document.getElementById('key').value")
        assert await page.run("document.cookie + localStorage.length + sessionStorage.length") == "00"
        await page.run("document.getElementById('leave').click()")
        assert await page.run("desk.hidden && !document.querySelector('tbody tr')")
        await enter(page, ADMIN_KEY)
        await page.until(OPEN)
        await page.send("Page.reload")
        await page.until("desk.hidden && document.activeElement.id === 'key'")


async def test_a_key_that_is_revoked_closes_the_page(bridge: Bridge, tmp_path: Path) -> None:
    await samples.fill(bridge)
    async with opened(bridge, tmp_path) as page:
        bridge.config = make_config(admin={"keys": ["another-key-0123456789"]})
        await page.until("desk.hidden && refused.textContent.includes('is not valid')")
        assert await page.run("document.querySelectorAll('tbody tr').length") == 0


async def test_the_page_shows_what_the_bridge_does_and_follows_it(bridge: Bridge, tmp_path: Path) -> None:
    bridge.nodes = FakeNodes(*NODES)
    await samples.fill(bridge)
    async with served(bridge), opened(bridge, tmp_path) as page:
        assert await page.run("state.textContent") == "Taking calls"
        assert (
            await page.run("document.getElementById('calls-now').textContent") == f"6 of {bridge.config.sip.max_calls}"
        )
        assert await page.run("hour.textContent") == "40, 92 % with success"
        assert "Handing off to care: refund_requested" in await page.run(cells("calls"))
        assert "conversation-18" in await page.run(cells("chats"))
        assert "Upstream error: agent lost" in await page.run(cells("ended"))
        assert (await page.run(cells("outcomes"))).startswith("Success: handed off")
        assert "Upstream error: no answer" in await page.run(cells("health"))
        assert "37 of 37" in await page.run(cells("health"))
        assert "node-a (this one)" in await page.run(cells("nodes"))
        assert "Lost" in await page.run(cells("nodes"))
        await page.screenshot("operators")
        returned = make_handoff(state=HandoffState.FAILED, taken_back=True)
        record = samples.start(bridge.last_hour, samples.call("call-9999", 1, handoff=returned))
        bridge.directory.add(record)
        bridge.obstacle = "all slots are in use"
        await page.until("calls.tBodies[0].rows[0].dataset.id === 'call-9999'")
        assert "Talking, taken back" in await page.run(cells("calls"))
        assert (
            await page.run("state.textContent + ': ' + obstacle.textContent") == "Taking no calls: All slots are in use"
        )
        bridge.directory.calls.pop()
        bridge.last_hour(CallEnded(record, samples.HANDED_OFF, 3.0))
        await page.until("ended.tBodies[0].rows[0].dataset.id === 'call-9999'")
        assert await page.run("calls.tBodies[0].rows.length") == 6
        assert page.faults == []


async def test_no_value_becomes_markup(bridge: Bridge, tmp_path: Path) -> None:
    bridge.nodes = FakeNodes(NodeReport(EVIL, EVIL, "alive", is_this=False, calls=1, max_calls=1))
    bridge.obstacle = EVIL
    handoff = make_handoff(destination=EVIL, reason=EVIL)
    record = samples.call("call-1", 1, client=EVIL, project=EVIL, contact_id=EVIL, handoff=handoff)
    bridge.directory.add(record)
    bad = Outcome(Result.SERVER_ERROR, EVIL)
    samples.start(bridge.last_hour, record)
    bridge.last_hour(AgentFault(record, EVIL, EVIL, EVIL, EVIL))
    ended = record.changed(call_id="call-2", state=CallState.ENDED)
    bridge.last_hour(CallStarted(ended))
    bridge.last_hour(CallEnded(ended, bad, 1.0))
    await bridge.fake_chats.reception.start("acme", "billing", ChatRequest(id="chat-1", reason=EVIL))
    bridge.admin_controls.problems = [EVIL]
    async with served(bridge), opened(bridge, tmp_path) as page:
        await page.until("calls.tBodies[0].rows.length === 1")
        await click(page, "#calls button")
        await page.until("steps.children.length === 5")
        await page.run("document.getElementById('close').click()")
        await click(page, "#reload")
        await click(page, "#yes")
        await page.until("message.textContent !== ''")
        shown = await page.run("document.body.textContent")
        for element in ("calls", "ended", "outcomes", "health", "nodes", "steps", "message", "obstacle", "which"):
            assert "onerror=alert(1)" in await page.run(f"document.getElementById('{element}').textContent"), element
        assert "<script>alert(1)</script>" in shown
        assert await page.run("document.querySelectorAll('img, body script, [onmouseover], [onerror]').length") == 0
        assert [fault for fault in page.faults if "the server responded with a status of 422" not in fault] == []


async def click(page: Page, selector: str) -> None:
    await page.run(f"document.querySelector({json.dumps(selector)}).click()")


async def test_a_drain_is_confirmed_with_the_keyboard_alone(bridge: Bridge, tmp_path: Path) -> None:
    async with opened(bridge, tmp_path) as page:
        order = [await focus_after_tab(page) for _ in range(3)]
        assert order == ["leave", "reload", "drain"]
        await page.press("Enter")
        await page.until("document.querySelector('#confirm').open && document.activeElement.id === 'no'")
        await page.screenshot("operators-confirm")
        await page.press("Escape")
        await page.until("!document.querySelector('#confirm').open && document.activeElement.id === 'drain'")
        assert drains(bridge) is False
        await page.press("Enter")
        await page.until("document.activeElement.id === 'no'")
        assert await focus_after_tab(page) == "yes"
        await page.press("Enter")
        await page.until("message.textContent === 'Draining. Calls in progress: 2' && state.textContent === 'Draining'")
        assert drains(bridge) is True
        assert await page.run("document.getElementById('drain').disabled")


def drains(bridge: Bridge) -> bool:
    return bridge.admin_controls.draining


async def focus_after_tab(page: Page) -> str:
    await page.press("Tab")
    return str(await page.run("document.activeElement.id"))


async def test_a_reload_says_what_became_of_it(bridge: Bridge, tmp_path: Path) -> None:
    async with opened(bridge, tmp_path) as page:
        await click(page, "#reload")
        await click(page, "#yes")
        await page.until("message.textContent !== ''")
        assert (await page.run("message.textContent")).splitlines() == [
            "Reloaded",
            "sip.max_calls: takes effect with a restart",
            "sip.srtp: keys travel",
        ]
        bridge.admin_controls.problems = ["bridge.yaml: sip: is missing; give it"]
        await click(page, "#reload")
        await click(page, "#yes")
        await page.until("message.textContent === 'Not done: bridge.yaml: sip: is missing; give it'")
        assert bridge.admin_controls.reloads == 1


async def test_a_timeline_grows_while_its_call_goes_on_and_the_focus_returns(bridge: Bridge, tmp_path: Path) -> None:
    record = samples.start(bridge.last_hour, samples.call("call-0001", 5))
    bridge.directory.add(record)
    async with opened(bridge, tmp_path) as page:
        button = "document.querySelector('#calls button')"
        assert await page.run(f"{button}.ariaLabel") == "Timeline of contact 115500120001"
        await page.run(f"{button}.focus()")
        await page.press("Enter")
        await page.until("timeline.open && steps.children.length === 4")
        assert "+0.0 s" in await page.run(text_of("steps"))
        samples.hand_off(bridge.last_hour, record)
        await page.until("steps.children.length === 10")
        assert "Success: handed off" in await page.run(text_of("steps"))
        await page.screenshot("operators-timeline")
        await page.press("Escape")
        await page.until(f"!timeline.open && document.activeElement === {button}")


async def test_a_late_response_about_one_call_is_not_shown_as_that_of_another(bridge: Bridge, tmp_path: Path) -> None:
    for number in (1, 2):
        bridge.directory.add(samples.start(bridge.last_hour, samples.call(f"call-{number:04}", number)))
    late = """
        const usual = fetch;
        fetch = (url, options) => url.includes("call-0001")
            ? new Promise(resolve => { respond = () => usual(url, options).then(resolve); })
            : usual(url, options);
        var respond = null;
    """
    async with opened(bridge, tmp_path) as page:
        await page.run(late)
        await click(page, "[data-call=call-0001]")
        await page.until("respond")
        # At once: the event of the closed dialog comes after the next one has opened.
        await page.run("for (const at of ['#close', '[data-call=call-0002]']) document.querySelector(at).click()")
        await page.until("which.textContent === 'Contact 115500120002' && steps.children.length === 4")
        await page.run("respond().then(() => new Promise(resolve => setTimeout(resolve, 200)))")
        assert await page.run("which.textContent") == "Contact 115500120002"


async def test_a_timeline_at_its_end_still_shows_the_newest_step(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "MAX_STEPS", 4)
    record = samples.start(bridge.last_hour, samples.call("call-0001", 5))
    bridge.directory.add(record)
    async with opened(bridge, tmp_path) as page:
        await click(page, "#calls button")
        await page.until("steps.children.length === 4")
        samples.hand_off(bridge.last_hour, record)
        await page.until("steps.lastChild.textContent.includes('Call ended')")
        assert await page.run("steps.children.length") == 4


async def test_the_focus_stays_on_a_call_while_others_come_and_go(bridge: Bridge, tmp_path: Path) -> None:
    for number in range(3):
        bridge.directory.add(samples.call(f"call-{number:04}", 60 + number))
    async with opened(bridge, tmp_path) as page:
        await page.run("document.querySelector('[data-call=call-0001]').focus()")
        bridge.directory.calls.pop(0)
        bridge.directory.add(samples.call("call-0009", 1))
        await page.until("calls.tBodies[0].rows[0].dataset.id === 'call-0009' && calls.tBodies[0].rows.length === 3")
        assert await page.run("document.activeElement.dataset.call") == "call-0001"


async def test_a_paused_page_and_one_in_a_hidden_tab_ask_nothing(bridge: Bridge, tmp_path: Path) -> None:
    async with opened(bridge, tmp_path) as page:
        await page.press("Enter")  # the focus is on the button that pauses
        await page.until("live.textContent === 'Paused' && pause.textContent === 'Resume updates'")
        assert await asked_nothing(page, bridge)
        await page.press("Enter")
        await page.until("live.textContent === 'Live'")
        await page.hide()
        assert await asked_nothing(page, bridge)
        before = len(bridge.counted)
        await page.hide(hidden=False)
        async with asyncio.timeout(10):
            while len(bridge.counted) == before:  # noqa: ASYNC110 (nothing signals a request)
                await asyncio.sleep(0.02)


async def asked_nothing(page: Page, bridge: Bridge) -> bool:
    """Wait for longer than the pause between two requests; return True if there was none meanwhile."""
    await page.run("new Promise(resolve => setTimeout(resolve, 200))")  # for requests in progress
    before = len(bridge.counted)
    await page.run("new Promise(resolve => setTimeout(resolve, 2500))")
    return len(bridge.counted) == before


async def test_the_page_says_that_the_bridge_does_not_respond_and_finds_it_again(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(bridge, tmp_path) as page:
        with monkeypatch.context() as patch:
            patch.setattr(bridge.admin_controls, "since", "no time")
            await page.until("live.textContent === 'Not live: this service failed; see its log'")
        await page.until("live.textContent === 'Live'")
        await page.send("Network.enable")
        await offline(page, is_offline=True)
        await page.until("live.textContent === 'Not live: the bridge does not respond'")
        await offline(page, is_offline=False)
        await page.until("live.textContent === 'Live'")


async def offline(page: Page, *, is_offline: bool) -> None:
    limits: dict[str, Any] = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await page.send("Network.emulateNetworkConditions", offline=is_offline, **limits)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 320), ("light", 1280), ("dark", 1280)])
async def test_axe_finds_nothing(bridge: Bridge, tmp_path: Path, scheme: str, width: int) -> None:
    bridge.nodes = FakeNodes(*NODES)
    await samples.fill(bridge)
    long = samples.call("call-0000", 4000, contact_id="c" * 32, handoff=make_handoff(reason="r" * 128))
    bridge.directory.add(samples.start(bridge.last_hour, long))
    async with served(bridge), gate(bridge, tmp_path) as page:
        await page.prefer(scheme)
        await page.resize(width, 1000)
        await look(page, f"operators-gate-{scheme}-{width}")
        await enter(page, ADMIN_KEY)
        await page.until(OPEN)
        await look(page, f"operators-{scheme}-{width}")
        await click(page, "#drain")
        await look(page, f"operators-confirm-{scheme}-{width}")
        await click(page, "#no")
        await click(page, "#ended button")
        await page.until("steps.children.length > 3")
        await look(page, f"operators-timeline-{scheme}-{width}")


async def look(page: Page, name: str) -> None:
    """Keep a picture, and check that nothing is wider than the window and that axe-core finds nothing."""
    await page.screenshot(name)
    assert not await page.run("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert await axe(page) == []


async def test_forced_colours_keep_states_buttons_and_focus(bridge: Bridge, tmp_path: Path) -> None:
    await samples.fill(bridge)
    async with opened(bridge, tmp_path) as page:
        await page.prefer("dark", forced_colours=True)
        dot = "getComputedStyle(document.querySelector('#calls td'), '::before').forcedColorAdjust"
        assert await page.run(dot) == "none"
        assert await page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.screenshot("operators-forced-colours")


async def test_without_javascript_the_page_says_what_it_needs(bridge: Bridge, tmp_path: Path) -> None:
    async with opened_page("about:blank", tmp_path) as page:
        await page.send("Emulation.setScriptExecutionDisabled", value=True)
        await page.send("Page.navigate", url=f"{bridge.base}/v1/admin/")
        await page.until("document.body.innerText.includes('This page needs JavaScript')")
