"""The audio that callers hear on hold, between the agent and the human agent."""

from __future__ import annotations

import pytest

from sipbridge.calls.events import SignalSent
from sipbridge.calls.model import CallRecord
from sipbridge.errors import LegEnded
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import World

HOLD = "clips/hold"
PLAY, STOP = "caller.play hold", "caller.stop hold"


def _holding_world(tts_command: str | None = None) -> World:
    """Return a call whose clip is played until it is stopped."""
    world = World(hold_clip=HOLD, tts_command=tts_command)
    world.journal.hold(PLAY)
    return world


async def _hand_off(world: World, step: str, **request: object) -> CallRecord:
    """Run a call in which the agent hands off, with this step held up until the caller hears the clip."""
    reached = world.journal.hold(step)
    await world.start_conversation()
    world.conversation.hands_off(**request)
    await world.journal.until(PLAY)
    await world.journal.until(step)
    reached.set()
    return await world.finish()


async def test_a_caller_hears_hold_audio_from_the_utterance_to_the_end_of_the_leg() -> None:
    world = _holding_world(tts_command="say")
    await _hand_off(world, "centre.signal", utterance="One moment, please.")
    steps = world.journal.only("caller.play", "caller.stop", "caller.hang_up")
    assert steps == ["caller.play speech", PLAY, "caller.hang_up", STOP]


async def test_hold_audio_stops_before_the_caller_is_joined_to_a_destination() -> None:
    world = _holding_world()
    world.journal.when("dial", world.desk.far_end_answers)
    world.journal.when("caller.join", world.desk.far_end_hangs_up)
    await _hand_off(world, "dial", destination="desk")
    steps = world.journal.only("caller.play", "caller.stop", "dial", "caller.join")
    assert sorted(steps[:2]) == sorted([PLAY, "dial"])
    assert steps[2:] == [STOP, "caller.join"]


async def test_hold_audio_goes_on_while_a_destination_rings_and_falls_back_to_release() -> None:
    world = _holding_world()
    await _hand_off(world, "dial", destination="team")
    steps = world.journal.only("caller.play", "caller.stop", "dial", "caller.hang_up")
    assert sorted(steps[:2]) == sorted([PLAY, "dial"])
    assert steps[2:] == ["caller.hang_up", STOP]


async def test_hold_audio_begins_again_if_a_destination_hangs_up_while_it_is_joined() -> None:
    world = _holding_world()
    world.leg.joining = LegEnded("the destination has hung up")
    world.journal.when("dial", world.desk.far_end_answers)
    await _hand_off(world, "dial", destination="team")
    steps = world.journal.only("caller.play", "caller.stop", "caller.hang_up")
    assert steps == [PLAY, STOP, PLAY, "caller.hang_up", STOP]


async def test_a_conversation_without_a_handoff_has_no_hold_audio() -> None:
    world = _holding_world()
    await world.start_conversation()
    world.conversation.ends()
    await world.finish()
    assert PLAY not in world.journal.steps


async def test_a_caller_who_hangs_up_on_hold_ends_the_call() -> None:
    world = _holding_world()
    world.journal.when("centre.signal", world.leg.far_end_hangs_up)
    record = await world.hand_off()
    assert record.ended_by == "caller"
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.COMPLETED


@pytest.mark.parametrize("fault", [RuntimeError("no such clip"), KeyError("hold")])
async def test_a_handoff_goes_on_without_hold_audio_that_cannot_be_played(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(hold_clip=HOLD)
    world.leg.playing = fault
    await world.hand_off()
    world.observer.one(SignalSent)
    assert "hold audio not played" in caplog.text
