from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.media_timeout import media_timed_out
from sipbridge.errors import LegEnded
from tests.fakes import FakeLeg, Journal

SECONDS = 0.2


class CountedLeg(FakeLeg):
    """A leg whose count of packets is given look by look; the last stays. `enough` is set after several more."""

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
    """Return what the watch finds out."""
    return await asyncio.wait_for(watching, seconds)


async def is_let_be(leg: CountedLeg, *, from_the_start: bool = False) -> bool:
    """Whether the leg does not count as silent after looks for several times the limit."""
    watching = asyncio.create_task(media_timed_out(leg, SECONDS, from_the_start=from_the_start))
    await asyncio.wait_for(leg.enough.wait(), 3)
    leg.far_end_hangs_up()
    return await within(watching) is False


async def test_one_that_has_come_and_stops_is_silent() -> None:
    leg = CountedLeg(3, 8, 8)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 2 + 4


async def test_one_that_never_came_is_not() -> None:
    assert await is_let_be(CountedLeg(0))


async def test_unless_it_was_due_from_the_start() -> None:
    assert await within(asyncio.create_task(media_timed_out(CountedLeg(0), SECONDS, from_the_start=True))) is True


@pytest.mark.parametrize("from_the_start", [False, True])
async def test_on_hold_nothing_counts(*, from_the_start: bool) -> None:
    assert await is_let_be(CountedLeg(5, None), from_the_start=from_the_start)


async def test_after_a_hold_it_counts_from_anew() -> None:
    leg = CountedLeg(5, 5, 5, 5, None, 5)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 5 + 4


async def test_a_count_that_begins_anew_is_a_sign_of_life() -> None:
    leg = CountedLeg(500, 500, 500, 3, 3)
    assert await within(asyncio.create_task(media_timed_out(leg, SECONDS))) is True
    assert leg.asked == 4 + 4


@pytest.mark.parametrize("ended", [True, False])
async def test_the_end_of_the_leg_is_no_silence(*, ended: bool) -> None:
    leg = CountedLeg(LegEnded("it is gone"))
    watching = asyncio.create_task(media_timed_out(leg, SECONDS, from_the_start=True))
    if not ended:
        await asyncio.sleep(3 * SECONDS)
    leg.far_end_hangs_up()
    assert await within(watching) is False
