from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from sipbridge.calls.events import CallEnded, HandoffFinished, HandoffStarted, TurnsAdded
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.outcomes import TAKEN_BACK
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState, Turn
from sipbridge.web.api import pop_events
from sipbridge.web.server.slots import PAGES_PER_RECORD
from tests.web.conftest import Bridge
from tests.web.fakes import FakeCall
from tests.web.screen_pop import samples

DONE = Outcome(Result.SUCCESS, "handed_off")
LIMIT = 10


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pop_events, "UPDATE_SECONDS", 0.0)


class Stream:
    """The stream of one page."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def update(self) -> dict[str, Any]:
        """Return the next update, with its `id`."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(LIMIT):
            while (line := (await self.response.content.readline()).decode()) != "\r\n" or "data" not in fields:
                assert line, "the stream has ended"
                name, _, value = line.strip().partition(": ")
                fields[name] = value
        return {**json.loads(fields["data"]), "id": fields["id"]}

    async def ended(self) -> bool:
        async with asyncio.timeout(LIMIT):
            return not (await self.response.content.read()).strip()


@asynccontextmanager
async def stream(bridge: Bridge, record: CallRecord, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    path = bridge.pop_links.make(record).removeprefix(bridge.config.http.public_url)
    async with bridge.session.get(f"{bridge.base}{path}/events{query}", headers=headers) as response:
        yield Stream(response)


def add_turn(bridge: Bridge, call: FakeCall, text: str) -> None:
    turns = (*call.record.transcript, Turn(role="caller", text=text))
    call.record = call.record.model_copy(update={"transcript": turns})
    bridge.pages(TurnsAdded(call.record))


async def test_a_page_gets_the_state_and_the_messages_that_it_does_not_have(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with stream(bridge, record, "?after=7") as page:
        update = await page.update()
    assert (update["state"], update["clock"], update["tone"]) == ("Being connected", "Waiting", "waiting")
    assert 42 <= update["seconds"] < 60
    assert (update["runs"], update["final"], update["count"], update["id"]) == (True, False, 8, "8")
    assert [(each["side"], each["name"], each["text"]) for each in update["messages"]] == [
        ("theirs", "Caller", samples.TALK[7][1])
    ]


async def test_a_page_follows_a_call_up_to_its_end(bridge: Bridge) -> None:
    call = bridge.directory.add(samples.call())
    async with stream(bridge, call.record, "?after=8") as page:
        assert (await page.update())["messages"] == []
        add_turn(bridge, call, "Still here.")
        update = await page.update()
        assert ([each["text"] for each in update["messages"]], update["id"]) == (["Still here."], "9")
        handoff = samples.handoff(state=HandoffState.COMPLETED, confirmed=True)
        call.record = call.record.model_copy(update={"handoff": handoff})
        bridge.pages(HandoffFinished(call.record, "release", DONE, 1.0))
        assert (await page.update())["state"] == "Handed over"
        call.record = call.record.model_copy(update={"state": CallState.ENDED})
        bridge.pages(CallEnded(call.record, DONE, 1.0))
        assert (await page.update())["final"]
        assert await page.ended()


async def test_a_page_follows_a_caller_back_to_the_agent_and_into_a_second_handoff(bridge: Bridge) -> None:
    call = bridge.directory.add(samples.call())
    async with stream(bridge, call.record, "?after=8") as page:
        assert (await page.update())["runs"]
        call.record = samples.returned()
        bridge.pages(HandoffFinished(call.record, "release", TAKEN_BACK, 1.0))
        update = await page.update()
        assert (update["state"], update["tone"]) == ("The caller is back with the assistant", "over")
        assert (update["clock"], update["runs"], update["final"]) == ("Waited", False, False)
        again = samples.handoff(handoff_at=datetime.now(UTC))
        call.record = samples.call(again, earlier_handoff=call.record.handoff)
        bridge.pages(HandoffStarted(call.record))
        update = await page.update()
        assert (update["state"], update["runs"]) == ("Being connected", True)
        assert update["seconds"] < 20


async def test_a_browser_that_reconnects_gets_each_message_once(bridge: Bridge) -> None:
    call = bridge.directory.add(samples.call())
    async with stream(bridge, call.record, "?after=8") as page:
        first = await page.update()
    add_turn(bridge, call, "While it was away.")
    async with stream(bridge, call.record, "?after=0", **{"Last-Event-ID": first["id"]}) as page:
        assert [each["text"] for each in (await page.update())["messages"]] == ["While it was away."]


async def test_a_change_that_comes_while_an_update_is_sent_is_not_lost(bridge: Bridge) -> None:
    call = bridge.directory.add(samples.call())
    async with stream(bridge, call.record, "?after=8") as page:
        await page.update()
        for number in range(20):
            add_turn(bridge, call, str(number))
        texts: list[str] = []
        while len(texts) < 20:
            texts += [each["text"] for each in (await page.update())["messages"]]
    assert texts == [str(number) for number in range(20)]


async def test_the_stream_of_a_call_that_is_over_ends_after_its_state(bridge: Bridge) -> None:
    record = samples.handed_over()
    await bridge.store.put(record)
    async with stream(bridge, record) as page:
        update = await page.update()
        assert (update["state"], update["final"], update["count"]) == ("Handed over", True, 8)
        assert await page.ended()


async def test_other_calls_do_not_wake_a_page(bridge: Bridge) -> None:
    call, other = bridge.directory.add(samples.call()), bridge.directory.add(samples.call(call_id="other"))
    async with stream(bridge, call.record, "?after=8") as page:
        await page.update()
        add_turn(bridge, other, "Not for this page.")
        add_turn(bridge, call, "For this page.")
        assert [each["text"] for each in (await page.update())["messages"]] == ["For this page."]


async def test_a_stream_ends_when_its_link_expires(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    call = bridge.directory.add(samples.call())
    async with stream(bridge, call.record) as page:
        await page.update()
        later = time.time() + bridge.config.http.pop_link_seconds
        monkeypatch.setattr(time, "time", lambda: later)
        add_turn(bridge, call, "Too late.")
        assert await page.ended()


async def test_a_stop_of_the_bridge_ends_open_pages_and_new_ones(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with stream(bridge, record) as page:
        await page.update()
        bridge.pages.close()
        assert await page.ended()
    async with stream(bridge, record) as page:
        await page.update()
        assert await page.ended()


async def test_one_record_has_a_limit_of_open_pages(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    pages = [stream(bridge, record) for _ in range(PAGES_PER_RECORD)]
    for each in pages:
        assert (await each.__aenter__()).response.status == 200
    async with stream(bridge, record) as page:
        assert page.response.status == 429
    for each in pages:
        await each.__aexit__(None, None, None)


@pytest.mark.parametrize(("query", "last", "status"), [("?after=-1", "", 400), ("?after=x", "", 400), ("", "x", 400)])
async def test_a_place_that_is_not_a_number_is_400(bridge: Bridge, query: str, last: str, status: int) -> None:
    record = samples.call()
    bridge.directory.add(record)
    async with stream(bridge, record, query, **{"Last-Event-ID": last}) as page:
        assert page.response.status == status


async def test_a_stream_without_a_valid_link_is_refused(bridge: Bridge) -> None:
    assert (await bridge.get("/pop/x/events", key=None))[0] == 403
    path = bridge.pop_links.make(samples.call()).removeprefix(bridge.config.http.public_url)
    assert (await bridge.get(f"{path}/events", key=None))[0] == 404
