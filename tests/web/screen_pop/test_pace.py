"""Hundreds of pages may open or change in the same moment, and audio must not wait for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sipbridge.calls.model import CallRecord
from sipbridge.web.api import pop_events
from sipbridge.web.screen_pop import pages
from sipbridge.web.screen_pop.update import update_of
from sipbridge.web.server.slots import PAGES_PER_RECORD
from tests.harness.loop_turns import LoopTurns
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.screen_pop import samples
from tests.web.screen_pop.test_events import add_turn, stream

PAGES = 40


def noting(work: Callable[..., Any], turns: LoopTurns, noted: list[int]) -> Callable[..., Any]:
    """Return the work, which also notes the turn of the loop in which it runs."""

    def run(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (those of the work)
        noted.append(turns.count)
        return work(*arguments, **named)

    return run


async def view_at_once(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """View the pages of all calls in the same moment; return the turns of the loop in which they were rendered."""
    ids = [make_record(f"call-{number}") for number in range(PAGES)]
    urls = [bridge.base + bridge.pop_links.make(each).removeprefix(bridge.config.http.public_url) for each in ids]
    rendered: list[int] = []

    async def view(url: str) -> None:
        async with bridge.session.get(url, headers={"Accept": "text/html"}) as response:
            assert response.status == 200

    with LoopTurns() as turns:
        monkeypatch.setattr(pages, "render_page", noting(pages.render_page, turns, rendered))
        await asyncio.gather(*map(view, urls))
    return rendered


async def test_pages_that_open_in_the_same_moment_are_rendered_one_per_turn_of_the_loop(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(PAGES):
        bridge.directory.add(make_record(f"call-{number}", handoff=make_handoff()))
    rendered = await view_at_once(bridge, monkeypatch)
    assert len(rendered) == len(set(rendered)) == PAGES


async def test_pages_whose_records_the_store_returns_in_the_same_moment_are_rendered_one_per_turn(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, all_asked = 0, asyncio.Event()

    async def get(_client: str, _project: str, call_id: str) -> CallRecord:
        nonlocal asked
        asked += 1
        if asked == PAGES:
            all_asked.set()
        await all_asked.wait()
        return make_record(call_id, handoff=make_handoff())

    monkeypatch.setattr(bridge.store, "get", get)
    rendered = await view_at_once(bridge, monkeypatch)
    assert len(rendered) == len(set(rendered)) == PAGES


async def test_pages_that_change_in_the_same_moment_are_updated_one_per_turn_of_the_loop(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pop_events, "UPDATE_SECONDS", 0.0)
    call = bridge.directory.add(samples.call())
    updated: list[int] = []
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        opened = [asyncio.Event() for _ in range(PAGES_PER_RECORD)]

        async def read(event: asyncio.Event) -> None:
            async with stream(bridge, call.record) as page:
                await page.update()
                event.set()
                assert (await page.update())["count"] == len(samples.TALK) + 1

        readers = [tasks.create_task(read(event)) for event in opened]
        for event in opened:
            await event.wait()
        with LoopTurns() as turns:
            monkeypatch.setattr(pop_events, "update_of", noting(update_of, turns, updated))
            add_turn(bridge, call, "To all of them")
            await asyncio.gather(*readers)
    assert len(updated) == len(set(updated)) == PAGES_PER_RECORD
