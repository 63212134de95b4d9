"""The utterance that a caller hears before the handoff."""

from __future__ import annotations

from sipbridge.calls.events import HandoffStage
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import World


def _utterance_stage(world: World) -> Outcome:
    (stage,) = [stage for stage in world.observer.of(HandoffStage) if stage.stage == "utterance"]
    return stage.outcome


async def test_the_utterance_is_played_before_the_signal() -> None:
    world = World(tts_command="say")
    await world.hand_off(utterance="One moment, please.")
    assert world.speaker.texts == ["One moment, please."]
    steps = world.journal.only("agent.finish_speaking", "caller.play", "store.put", "centre.signal")
    assert steps[:3] == ["agent.finish_speaking", "caller.play speech", "store.put_later handoff_initiated"]
    assert steps[3] == "centre.signal"
    assert _utterance_stage(world) == Outcome(Result.SUCCESS, "done")


async def test_an_utterance_is_synthesised_while_the_agent_speaks() -> None:
    world = World(tts_command="say")
    world.journal.hold("agent.finish_speaking")
    await world.start_conversation()
    world.conversation.hands_off(utterance="One moment, please.")
    await world.journal.until("speaker.prepare")
    assert "caller.play speech" not in world.journal.steps
    world.journal.hold("agent.finish_speaking").set()
    await world.finish()


async def test_an_utterance_that_cannot_be_synthesised_is_skipped() -> None:
    world = World(tts_command="say")
    world.speaker.clip = None
    await world.hand_off(utterance="One moment, please.")
    assert not world.journal.only("caller.play")
    assert _utterance_stage(world) == Outcome(Result.UPSTREAM_ERROR, "speech_failed")
    assert len(world.centre.signals) == 1


async def test_without_a_tts_command_or_an_utterance_nothing_is_played() -> None:
    for world, request in ((World(), {"utterance": "One moment."}), (World(tts_command="say"), {})):
        await world.hand_off(**request)
        assert not world.speaker.texts
        assert not [stage for stage in world.observer.of(HandoffStage) if stage.stage == "utterance"]


async def test_a_caller_who_hangs_up_during_the_utterance_is_not_signalled() -> None:
    world = World(tts_command="say")
    world.journal.when("caller.play speech", world.leg.far_end_hangs_up)
    record = await world.hand_off(utterance="One moment, please.")
    assert record.handoff is not None
    assert record.handoff.state is HandoffState.FAILED
    assert not world.centre.signals
