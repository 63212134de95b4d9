"""The page in Chromium: as a tab and in a frame, for the eye and for assistive technology."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiohttp import web

from sipbridge.calls.events import CallEnded, CallEvent, HandoffFinished, TurnsAdded
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.errors import StoreError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState, Turn
from sipbridge.web.server.errors import ExpiredLink, TooManyRequests
from tests.harness.axe import axe
from tests.harness.web.browser import Page, opened_page
from tests.web.conftest import Bridge
from tests.web.fakes import FakeCall, make_config
from tests.web.screen_pop import samples

STATE = "document.getElementById('state').textContent"
CLOCK = "document.getElementById('clock').textContent"
LIVE_ELEMENT = "document.getElementById('live')"
LIVE = f"{LIVE_ELEMENT}.textContent"
LAST = "document.querySelector('#log > :last-child .text').textContent"
READY = "document.documentElement.classList.contains('script')"
# The page's own timers wait until the test runs them.
KEEP_TIMERS = "window.timers = [], window.setTimeout = (act, time) => timers.push({ act, seconds: time / 1000 })"
DONE = Outcome(Result.SUCCESS, "handed_off")


@asynccontextmanager
async def opened(bridge: Bridge, record: CallRecord, folder: Path, query: str = "") -> AsyncIterator[Page]:
    """Open the page of a record as a tab."""
    async with opened_page(bridge.base + path_of(bridge, record) + query, folder) as page:
        await page.resize(1200, 900)
        await page.until(READY)
        yield page


def path_of(bridge: Bridge, record: CallRecord) -> str:
    return bridge.pop_links.make(record).removeprefix(bridge.config.http.public_url)


def change(bridge: Bridge, call: FakeCall, event: Any, *arguments: object, **changes: object) -> None:  # noqa: ANN401 (a class of events)
    """Change a call in progress, and notify the pages."""
    call.record = call.record.model_copy(update=changes)
    made: CallEvent = event(call.record, *arguments)
    bridge.pages(made)


def said(call: FakeCall, text: str) -> tuple[Turn, ...]:
    return (*call.record.transcript, Turn(role="caller", text=text, at=datetime.now(UTC)))


async def test_a_page_shows_a_call_live_until_it_is_handed_over(bridge: Bridge, tmp_path: Path) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{STATE} === 'Being connected' && {LIVE} === 'Live'")
        first = await page.run("time.textContent")
        await page.until(f"time.textContent > {json.dumps(first)}")
        evil = "<img src=x onerror='document.title=1'> & so on"
        change(bridge, call, TurnsAdded, transcript=said(call, evil))
        await page.until(f"{LAST} === {json.dumps(evil)}")
        assert await page.run("document.querySelectorAll('#log > div').length") == 9
        change(
            bridge, call, HandoffFinished, "release", DONE, 1.0,
            handoff=samples.handoff(state=HandoffState.COMPLETED, confirmed=True),
        )  # fmt: skip
        change(bridge, call, CallEnded, DONE, 60.0, state=CallState.ENDED)
        await page.until(
            f"{STATE} === 'Handed over' && {CLOCK} === 'Since handoff' && !document.getElementById('live')"
        )
        assert await page.run("document.body.dataset.tone") == "connected"
        assert page.faults == []


async def test_a_page_in_the_frame_of_an_allowed_site_works_and_copies_without_the_clipboard(
    bridge: Bridge, tmp_path: Path
) -> None:
    call = bridge.directory.add(samples.call())
    async with framing_site(bridge.base + path_of(bridge, call.record)) as site:
        bridge.config = make_config(frame_ancestors=(site,))
        async with opened_page(site, tmp_path) as outer, outer.frame() as page:
            await page.until(f"{READY} && {LIVE} === 'Live'")
            await page.run("document.querySelector('.details .copy').focus()")
            await page.press("Enter")
            await page.until("document.querySelector('.details .copy').textContent !== 'Copy'")
            assert await page.run("getSelection().toString()") == "A7-441-09"
            change(bridge, call, TurnsAdded, transcript=said(call, "In the frame"))
            await page.until(f"{LAST} === 'In the frame'")
        bridge.config = make_config(frame_ancestors=("https://elsewhere.example",))
        async with opened_page(site, tmp_path / "other") as outer:
            await outer.until("document.querySelector('iframe')")
            await outer.faulted("frame-ancestors")


@asynccontextmanager
async def framing_site(url: str) -> AsyncIterator[str]:
    """Serve a page of another origin that shows the URL in a frame; yield its address."""

    async def page(_: web.Request) -> web.Response:
        text = f'<!doctype html><title>Desk</title><iframe src="{url}" width="900" height="700"></iframe>'
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0)  # another host than that of the bridge, so another site
    await site.start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_button_copies_its_value_and_says_so(bridge: Bridge, tmp_path: Path) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with opened(bridge, record, tmp_path) as page:
        await page.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        await page.run("document.querySelector('.details .copy').focus()")
        await page.press("Enter")
        await page.until("document.querySelector('.details .copy').textContent === 'Copied'")
        assert await page.run("navigator.clipboard.readText()") == "A7-441-09"
        await page.until("document.querySelector('.details .copy').textContent === 'Copy'")


async def test_updates_are_paused_and_resumed_with_the_keyboard_alone(bridge: Bridge, tmp_path: Path) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{LIVE} === 'Live'")
        await page.press("Tab")
        assert await page.run("document.activeElement.id") == "pause"
        assert await page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.press("Enter")
        await page.until(f"{LIVE} === 'Paused' && document.activeElement.textContent === 'Resume updates'")
        await closed(bridge)
        change(bridge, call, TurnsAdded, transcript=said(call, "Unseen"))
        frozen = await page.run("time.textContent")
        await page.run("new Promise(resolve => setTimeout(resolve, 1500))")
        assert await page.run("time.textContent") == frozen
        await page.press("Enter")
        await page.until(f"{LAST} === 'Unseen' && {LIVE} === 'Live' && time.textContent !== {json.dumps(frozen)}")
        order = [await focus_after_tab(page) for _ in range(4)]
        assert order == ["Copy", "Copy: Phone", "Copy: Order id", "Copy: Customer id"]


async def closed(bridge: Bridge) -> None:
    """Wait until no page is open."""
    async with asyncio.timeout(10):
        while bridge.pages.__dict__["_watchers"]:  # noqa: ASYNC110 (the feed has no event for it)
            await asyncio.sleep(0.02)


async def focus_after_tab(page: Page) -> str:
    await page.press("Tab")
    return str(await page.run("document.activeElement.ariaLabel"))


async def test_a_page_in_a_hidden_tab_holds_no_connection(bridge: Bridge, tmp_path: Path) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{LIVE} === 'Live'")
        await page.hide()
        await closed(bridge)
        change(bridge, call, TurnsAdded, transcript=said(call, "Meanwhile"))
        await page.hide(hidden=False)
        await page.until(f"{LAST} === 'Meanwhile'")
        assert await page.run("document.querySelectorAll('#log > div').length") == 9


async def test_a_page_whose_link_expires_says_that_it_is_no_longer_live(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{LIVE} === 'Live'")
        monkeypatch.setattr(bridge.pop_links, "verify", failing(ExpiredLink("this link has expired")))
        change(bridge, call, TurnsAdded, transcript=said(call, "x"))
        bridge.pages.close()
        await page.until(f"{LIVE} === 'Not live: reload the page'")


@pytest.mark.parametrize("error", [TooManyRequests, StoreError])
async def test_a_page_connects_again_after_a_response_that_may_change(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{LIVE} === 'Live'")
        await page.run(KEEP_TIMERS)
        await page.hide()
        await closed(bridge)
        with monkeypatch.context() as patch:
            patch.setattr(bridge.pop_links, "verify", failing(error("later")))
            await page.hide(hidden=False)
            for number in range(1, 4):
                await page.until(f"timers.length === {number} && {LIVE} === 'Not live: connecting again'")
                assert await page.run("5 <= timers.at(-1).seconds && timers.at(-1).seconds <= 30")
                if number < 3:
                    await page.run("timers.at(-1).act()")
        change(bridge, call, TurnsAdded, transcript=said(call, "Meanwhile"))
        await page.run("timers.at(-1).act()")
        await page.until(f"{LAST} === 'Meanwhile' && {LIVE} === 'Live'")
        assert await page.run("document.querySelectorAll('#log > div').length") == 9


async def test_a_page_that_was_hidden_and_shown_does_not_connect_twice(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = bridge.directory.add(samples.call())
    async with opened(bridge, call.record, tmp_path) as page:
        await page.until(f"{LIVE} === 'Live'")
        await page.run(KEEP_TIMERS)
        await page.hide()
        await closed(bridge)
        with monkeypatch.context() as patch:
            patch.setattr(bridge.pop_links, "verify", failing(TooManyRequests("later")))
            await page.hide(hidden=False)
            await page.until("timers.length === 1")
        await page.hide()
        await page.hide(hidden=False)
        await page.until(f"{LIVE} === 'Live'")
        await page.run("window.kept = source, timers[0].act()")
        assert await page.run("source === kept && kept.readyState === EventSource.OPEN")


def failing(error: Exception) -> Callable[[str], NoReturn]:
    """Return a check of links that fails."""

    def fail(_: str) -> NoReturn:
        raise error

    return fail


async def test_without_javascript_the_page_is_complete(bridge: Bridge, tmp_path: Path) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with opened_page("about:blank", tmp_path) as page:
        await page.send("Emulation.setScriptExecutionDisabled", value=True)
        await page.resize(1200, 900)
        await page.send("Page.navigate", url=bridge.base + path_of(bridge, record))
        await page.until("document.querySelectorAll('#log > div').length === 8")
        text = await page.run("document.body.innerText")
        for each in ("Johanna Weber", "Refund requested", samples.SUMMARY, "Reload the page to see changes."):
            assert each in text
        assert await page.run("getComputedStyle(document.querySelector('.copy')).visibility") == "hidden"
        await page.screenshot("pop-no-script")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("state", ["live", "returned", "over", "long"])
async def test_axe_finds_nothing(bridge: Bridge, tmp_path: Path, state: str) -> None:
    made = {
        "live": samples.call,
        "returned": samples.returned,
        "over": samples.handed_over,
        "long": samples.long_call,
    }
    record = made[state]()
    bridge.directory.add(record)
    async with opened(bridge, record, tmp_path) as page:
        for scheme, width in (("light", 320), ("dark", 1200)):
            await page.prefer(scheme)
            await page.resize(width, 900)
            await page.screenshot(f"pop-{state}-{scheme}-{width}")
            assert await page.run("document.documentElement.scrollWidth") <= width
            assert await axe(page) == []


async def test_axe_finds_nothing_in_a_page_of_an_error(bridge: Bridge, tmp_path: Path) -> None:
    async with opened_page(f"{bridge.base}/pop/x", tmp_path) as page:
        await page.resize(320, 500)
        await page.until("document.querySelector('h1')")
        await page.screenshot("pop-invalid-320")
        assert await axe(page) == []


async def test_forced_colours_keep_borders_and_focus(bridge: Bridge, tmp_path: Path) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with opened(bridge, record, tmp_path) as page:
        await page.prefer("dark", forced_colours=True)
        border = "getComputedStyle(document.querySelector('#log .theirs')).borderTopWidth"
        assert await page.run(border) == "1px"
        await page.screenshot("pop-forced-colours")


async def test_the_first_paint_takes_a_tenth_of_a_second_at_most(bridge: Bridge, tmp_path: Path) -> None:
    record = samples.call()
    bridge.directory.add(record)
    # A busy machine, or one without a graphics card, takes its time for any page: so beside the smallest one.
    async with (
        opened_page(f"{bridge.base}/healthz", tmp_path / "smallest") as smallest,
        opened(bridge, record, tmp_path) as page,
    ):
        taken = [await first_paint(page) - await first_paint(smallest) for _ in range(12)]
        assert min(taken) < 100


async def first_paint(page: Page) -> float:
    """Reload the page without its cache, and return the time of its first paint in milliseconds."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    await page.run("window.isOld = true")
    await page.send("Page.reload", ignoreCache=True)
    await page.until(f"!window.isOld && {paint}")
    return float(await page.run(paint))
