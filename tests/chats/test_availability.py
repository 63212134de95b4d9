from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats import availability
from sipbridge.chats.ports import Availability
from tests.chats.world import CLIENT, PROJECT, world


async def test_cxone_is_asked_once_for_requests_at_the_same_time() -> None:
    async with world() as w:
        go_on = w.channel.availability_held = asyncio.Event()
        asking = [asyncio.create_task(w.reception.availability(CLIENT, PROJECT, None)) for _ in range(20)]
        await w.until(lambda: w.channel.asked == 1)
        asking.pop(0).cancel()  # the bot that asked first disconnects, and the request goes on
        go_on.set()
        assert {found.status for _, found in await asyncio.gather(*asking)} == {"online"}
        assert w.channel.asked == 1


@pytest.mark.parametrize("status", ["online", "offline", "unknown"])
async def test_availability_is_kept_for_a_short_time(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    async with world() as w:
        w.channel.found = Availability(status)  # type: ignore[arg-type]  # one of its words
        monkeypatch.setattr(availability, "MAX_AGE_SECONDS", 60)
        for _ in range(3):
            assert (await w.reception.availability(CLIENT, PROJECT, None))[1].status == status
        assert w.channel.asked == 1


async def test_availability_is_asked_for_again_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "MAX_AGE_SECONDS", 0)
    async with world() as w:
        await w.reception.availability(CLIENT, PROJECT, None)
        w.channel.found = Availability("offline")
        assert (await w.reception.availability(CLIENT, PROJECT, None))[1].status == "offline"


async def test_channels_are_asked_each() -> None:
    async with world(others={"sales": "key-of-sales-000001"}) as w:
        w.context.channels[CLIENT, "sales", "web"] = other = type(w.channel)()  # type: ignore[index]
        other.found = Availability("offline")
        assert (await w.reception.availability(CLIENT, PROJECT, None))[1].status == "online"
        assert (await w.reception.availability(CLIENT, "sales", None))[1].status == "offline"
