from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.media_timeout import MediaWatch, media_timed_out
from sipbridge.errors import LegEnded
from tests.fakes import FakeLeg, Journal

SECONDS = 0.2


class CountedLeg(FakeLeg):
    """A leg with a given packet count for each poll; the last one stays. `enough` is set after several more polls."""

    def __init__(self, *looks: int | Exception | None) -> None:
        super().__init__(Journal())
        self.looks = list(looks)
        self.asked = 0
        self.enough = asyncio.Event()

    async def packets_received(self) -> int | None:
        self.asked += 1
        if self.asked == 15:
            self.enough.set()
        now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(now, Exception):
            raise now
        return now


async def within(watching: asyncio.Task[bool], seconds: float = 3) -> bool:
    """Return the result of the watch."""
    return await asyncio.wait_for(watching, seconds)


async def does_not_time_out(leg: CountedLeg, *, from_the_start: bool = False) -> bool:
    """Return True if the leg has not timed out after polls for several times the limit."""
    watching = asyncio.create_task(media_timed_out(leg, SECONDS, from_the_start=from_the_start))
    await asyncio.wait_for(leg.enough.wait(), 3)
    leg.far_end_hangs_up()
    return await within(watching) is False


async def test_audio_that_has_begun_and_stops_times_out() -> None:
    leg = CountedLeg(3, 8, 8)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 2 + 4


async def test_audio_that_never_began_does_not_time_out() -> None:
    assert await does_not_time_out(CountedLeg(0))


async def test_audio_that_was_due_from_the_start_times_out() -> None:
    assert await within(asyncio.create_task(media_timed_out(CountedLeg(0), SECONDS, from_the_start=True))) is True


@pytest.mark.parametrize("from_the_start", [False, True])
async def test_time_on_hold_does_not_count(*, from_the_start: bool) -> None:
    assert await does_not_time_out(CountedLeg(5, None), from_the_start=from_the_start)


async def test_after_a_hold_the_count_starts_again() -> None:
    leg = CountedLeg(5, 5, 5, 5, None, 5)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 5 + 4


async def test_a_packet_count_that_starts_again_shows_new_audio() -> None:
    leg = CountedLeg(500, 500, 500, 3, 3)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 4 + 4


@pytest.mark.parametrize("ended", [True, False])
async def test_the_end_of_the_leg_does_not_time_out(*, ended: bool) -> None:
    leg = CountedLeg(LegEnded("it is gone"))
    watching = asyncio.create_task(media_timed_out(leg, SECONDS, from_the_start=True))
    if not ended:
        await asyncio.sleep(3 * SECONDS)
    leg.far_end_hangs_up()
    assert await within(watching) is False


async def test_a_watch_calls_back_after_as_many_polls() -> None:
    leg, timed_out = CountedLeg(3, 8, 8), asyncio.Event()
    MediaWatch(leg, SECONDS, timed_out.set)
    await asyncio.wait_for(timed_out.wait(), 3)
    assert leg.asked == 2 + 4


@pytest.mark.parametrize("polls", [0, 1])
async def test_a_watch_that_was_stopped_polls_no_more(polls: int) -> None:
    leg, timed_out = CountedLeg(3), asyncio.Event()
    watch = MediaWatch(leg, SECONDS, timed_out.set)
    async with asyncio.timeout(3):
        while leg.asked < polls:  # noqa: ASYNC110 (the leg sends no notification)
            await asyncio.sleep(0.001)
    watch.stop()
    await asyncio.sleep(SECONDS)
    assert leg.asked == polls
    assert not timed_out.is_set()


async def test_without_a_timeout_there_is_nothing_to_watch() -> None:
    leg = CountedLeg(3)
    watch = MediaWatch(leg, None, lambda: None)
    await asyncio.sleep(SECONDS)
    watch.stop()
    assert leg.asked == 0
