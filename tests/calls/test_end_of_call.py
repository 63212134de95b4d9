"""What a call leaves: its record in the store, its entries in the journal, and nothing in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace
from typing import NoReturn

import pytest

from sipbridge.calls.events import StoreFailed
from sipbridge.calls.model import CallState
from sipbridge.errors import StoreError
from tests.calls.world import World, shorten_store_time

# ---------------------------------------------------------------- the last write


async def test_a_store_that_fails_costs_the_record_and_not_the_call() -> None:
    world = World()
    world.store.failing = StoreError("disk full")
    await world.talking()
    world.leg.far_end_hangs_up()
    await world.over()
    assert world.observer.one(StoreFailed).message == "disk full"


async def test_a_store_that_fails_in_an_unforeseen_way_does_not_keep_a_call_up() -> None:
    world = World()
    world.store.failing = ConnectionResetError("nobody wrapped this")
    await world.talking()
    world.leg.far_end_hangs_up()
    await world.over()


async def test_a_store_that_hangs_does_not_keep_the_calls_place(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_store_time(monkeypatch)
    world = World()
    world.store.failing = StoreError("it never comes to that")
    world.journal.hold("store.put ended")
    await world.talking()
    world.leg.far_end_hangs_up()
    await world.over()
    assert world.observer.one(StoreFailed).record.call_id == world.record.call_id


async def test_a_journal_that_fails_is_told_and_the_call_goes_on() -> None:
    world = World()
    world.call_journal.failing = True
    await world.hand_off()
    assert len(world.centre.signals) == 1
    assert len(world.observer.of(StoreFailed)) == 2


async def test_a_call_is_journalled_before_it_is_answered() -> None:
    world = World()
    await world.hand_off()
    steps = world.journal.steps
    assert steps.index("journal.begin") < steps.index("caller.answer")


# ---------------------------------------------------------------- whatever fails at the end


@pytest.mark.parametrize("part", ["store", "journal", "observer", "leg", "agent"])
async def test_no_failure_at_its_end_leaves_a_call_among_those_in_progress(part: str) -> None:
    world = World()
    await world.talking()

    def fail(*_: object, **__: object) -> NoReturn:
        raise TypeError("a fault of ours")

    if part == "store":
        world.store.failing = StoreError("full")
        world.call_journal.unstored = fail  # type: ignore[method-assign]
    elif part == "journal":
        world.call_journal.stored = fail  # type: ignore[method-assign]
    elif part == "observer":
        world.call.around = replace(world.call.around, observe=fail)
    elif part == "leg":
        world.leg.hang_up = fail  # type: ignore[method-assign]
    else:
        world.conversation.close = fail  # type: ignore[method-assign]
    world.conversation.ends()
    assert world.task is not None
    await asyncio.wait([world.task], timeout=5)
    assert world.task.done()
    assert world.task.exception() is None
    assert world.record.state is CallState.ENDED
    assert len(world.registry) == 0
    assert world.admission.active == 0


# ---------------------------------------------------------------- the end, in the journal


async def test_the_callers_bye_is_journalled_before_it_is_answered_and_once() -> None:
    world = World()
    await world.talking()
    answered: list[str] = []
    assert world.leg.note_bye(lambda: answered.append("now"))
    assert answered == ["now"]
    world.leg.far_end_hangs_up()
    await world.over()
    assert world.journal.only("journal.hung_up") == ["journal.hung_up by caller"]


async def test_an_end_that_is_no_bye_of_the_caller_is_journalled_as_soon_as_the_leg_is_over() -> None:
    world = World()
    await world.talking()
    world.conversation.ends()
    await world.over()
    steps = world.journal.only("caller.hang_up", "journal.hung_up")
    assert steps == ["caller.hang_up", "journal.hung_up by agent"]


async def test_cxones_bye_after_the_signal_that_it_took_is_not_held_up() -> None:
    world = World()
    world.journal.when("agent.close", lambda: None)
    await world.talking()
    world.ask()
    await world.journal.until("journal.signalled accepted")
    assert not world.leg.note_bye(lambda: None)
    await world.over()


# ---------------------------------------------------------------- what is left of a call


@pytest.mark.parametrize("way", ["caller", "agent", "handoff", "cut off"])
async def test_a_call_that_is_over_is_gone_without_the_collector(way: str) -> None:
    """It would keep its configuration version in memory: the collector runs seldom."""
    world = World()
    gc.collect()
    gc.disable()
    try:
        await world.talking()
        if way == "caller":
            world.leg.far_end_hangs_up()
        elif way == "agent":
            world.conversation.ends()
        elif way == "handoff":
            world.ask()
        elif world.task is not None:
            world.task.cancel()
        await world.over()
        call = weakref.ref(world.call)
        # What the test itself holds.
        world.conversation.call = world.task = None
        world.leg = world.call = None  # type: ignore[assignment]
        for _ in range(5):
            await asyncio.sleep(0)
        assert call() is None
    finally:
        gc.enable()
