"""Handoffs whose callers are not taken back, although the project has `take_back_seconds`."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import TakeBackDone
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import LegEnded
from sipbridge.handoffs.outcome import Result
from tests.calls.returning import NEVER, TAKE_BACK, hand_off, hold
from tests.calls.world import World


async def test_an_agent_that_leaves_on_hold_does_not_get_its_caller_back() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    world.conversation.ends()
    record = await world.finish()
    assert (world.handoff.transfer, record.ended_by) == ("released", "bridge")
    assert "agent.unmute" not in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_a_caller_whom_cxone_takes_after_the_agent_has_left_counts_as_no_take_back() -> None:
    world = World(handoff=NEVER | {"release_grace_seconds": 5})
    await hold(world)
    world.conversation.ends()
    for _ in range(10):
        await asyncio.sleep(0)
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.handoff.transfer == "released_by_peer"
    assert not world.observer.of(TakeBackDone)


@pytest.mark.parametrize("error", [LegEnded("the agent has hung up"), RuntimeError("broken")])
async def test_an_agent_that_cannot_be_connected_again_does_not_get_its_caller_back(error: Exception) -> None:
    world = World(handoff=TAKE_BACK)
    world.conversation.unmuting = error
    await hand_off(world)
    await world.finish()
    assert world.handoff.transfer == "released"
    assert world.observer.one(TakeBackDone).outcome.result is Result.UPSTREAM_ERROR


async def test_an_agent_that_cannot_be_kept_is_released_as_without_take_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.conversation.stays = False
    await hand_off(world)
    await world.finish()
    assert "agent.stopped" in world.journal.steps
    assert not world.observer.of(TakeBackDone)


async def test_an_agent_that_has_left_with_its_handoff_is_not_kept() -> None:
    world = World(handoff=TAKE_BACK)
    await world.hand_off()
    assert "agent.mute" not in world.journal.steps


@pytest.mark.parametrize("answer", [SignalResult.REFUSED, SignalResult.UNDELIVERED])
async def test_a_caller_whose_signal_had_no_effect_goes_to_the_script_at_once(answer: SignalResult) -> None:
    world = World(handoff=NEVER)
    world.centre.answer = answer
    await hand_off(world)
    await world.finish()
    assert world.handoff.transfer == "released"


async def test_a_handoff_without_a_signal_is_not_taken_back() -> None:
    world = World(handoff=NEVER | {"default": "quiet"})
    await hand_off(world)
    await world.finish()
    assert "agent.mute" not in world.journal.steps


async def test_a_bridge_that_drains_gives_no_caller_back() -> None:
    world = World(handoff=NEVER)
    await hold(world)
    world.call.drain()
    await world.finish()
    assert world.handoff.transfer == "released"


async def test_a_handoff_by_the_drain_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    await world.start_conversation()
    world.call.drain()
    await _is_released(world, "draining")


async def test_a_call_that_the_drain_found_ringing_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("caller.answer", world.call.drain)
    world.begin()
    await _is_released(world, "draining")


async def test_a_handoff_by_the_time_limit_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK, max_call_seconds=1)
    await world.start_conversation()
    await _is_released(world, "max_call_seconds")


async def test_a_handoff_of_a_caller_without_audio_is_not_taken_back() -> None:
    world = World(handoff=TAKE_BACK, media_timeout_seconds=0.1, on_media_timeout="handoff")
    await world.start_conversation()
    world.leg.packets = 7
    await _is_released(world, "media_timeout")


async def test_a_caller_who_would_come_back_after_the_time_limit_is_not_taken_back() -> None:
    world = World(handoff={"take_back_seconds": 30}, max_call_seconds=20)
    await hand_off(world, reason="asked")
    await _is_released(world, "asked")


@pytest.mark.parametrize("command", ["drain", "yield_to_rescuer"])
async def test_a_bridge_that_stops_while_the_agent_is_connected_again_gives_no_caller_back(command: str) -> None:
    world = World(handoff=TAKE_BACK)
    world.journal.when("agent.unmute", getattr(world.call, command))
    await hand_off(world, reason="asked")
    record = await world.finish()
    assert (world.handoff.reason, world.handoff.transfer) == ("asked", "released")
    assert record.earlier_handoff is None
    assert not world.observer.of(TakeBackDone)


async def _is_released(world: World, reason: str) -> None:
    """Wait for the end of a handoff for this reason, which the agent does not notice."""
    await world.finish()
    assert (world.handoff.reason, world.handoff.transfer) == (reason, "released")
    assert "agent.mute" not in world.journal.steps
