"""The stages of a handoff, their order, and their failures."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, HandoffStarted, SignalSent, StoreFailed, TransferDone
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import StoreError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import CONTACT, World, pop_url, shorten_store_time

TRANSCRIPT = [{"role": "caller", "text": "a human, please"}]


def _stages(world: World) -> dict[str, Outcome]:
    return {event.stage: event.outcome for event in world.observer.of(HandoffStage)}


def _sent(world: World) -> dict[str, str]:
    ((contact, parameters),) = world.centre.signals
    assert contact == CONTACT
    return dict(parameters)


async def test_the_stages_follow_the_contracts_order() -> None:
    world = World(handoff={"post_transcript": True})
    await world.hand_off(transcript=TRANSCRIPT)
    assert world.journal.steps[world.journal.steps.index("agent.run") + 1 :] == [
        "agent.finish_speaking",
        "store.put handoff_initiated",
        "centre.post_transcript",
        "token",
        "journal.signalling",
        "centre.signal",
        "journal.signalled accepted",
        "caller.hang_up",
        "agent.close",
        "journal.hung_up by bridge",
        "store.put ended",
        "journal.stored",
    ]
    assert list(_stages(world)) == ["play_out", "store", "transcript", "signal", "transfer"]


async def test_every_stage_is_an_event() -> None:
    world = World()
    await world.hand_off(reason="asked_for_human")
    started = world.observer.one(HandoffStarted)
    assert started.record.handoff is not None
    assert started.record.handoff.state is HandoffState.INITIATED
    sent = world.observer.one(SignalSent)
    assert (sent.purpose, sent.outcome) == ("handoff", Outcome(Result.SUCCESS, "accepted"))
    assert world.observer.one(TransferDone).method == "release"
    finished = world.observer.one(HandoffFinished)
    assert finished.method == "release"
    assert finished.record.handoff == world.handoff
    assert set(_stages(world).values()) <= {
        Outcome(Result.SUCCESS, "done"),
        *(_stages(world)[s] for s in ("signal", "transfer")),
    }


async def test_the_stored_record_has_all_that_a_screen_pop_needs() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.hands_off(
        destination="care",
        reason="billing",
        utterance="Putting you through.",
        data={"ticket": 7},
        shared_id="crm-1",
        transcript=TRANSCRIPT,
    )
    await world.journal.until("centre.signal")
    stored = world.store.written[0]
    assert stored.handoff is not None
    assert stored.handoff.state is HandoffState.INITIATED
    assert (stored.handoff.destination, stored.handoff.reason) == ("care", "billing")
    assert (stored.handoff.utterance, stored.handoff.data) == ("Putting you through.", {"ticket": 7})
    assert stored.handoff.requested_by == "agent"
    assert stored.shared_id == "crm-1"
    assert stored.transcript
    await world.finish()


async def test_only_the_record_for_the_screen_pop_is_written_urgently() -> None:
    world = World()
    await world.hand_off()
    assert world.store.urgent == [True, False]


async def test_a_call_is_found_by_its_new_shared_id_at_once() -> None:
    world = World()
    await world.start_conversation()
    world.request_handoff(shared_id="crm-1")
    assert world.registry.find_shared("acme", "billing", "crm-1") is world.call
    assert world.registry.find_shared("acme", "billing", CONTACT) is None
    await world.finish()
    assert world.registry.find_shared("acme", "billing", "crm-1") is None


# ---------------------------------------------------------------- playing out


async def test_nothing_happens_before_the_agents_last_sentence_was_played() -> None:
    world = World()
    let_go = world.journal.hold("agent.finish_speaking")
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until("agent.finish_speaking")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not world.journal.only("store.", "centre.", "caller.hang_up", "agent.stopped")
    let_go.set()
    await world.finish()


async def test_an_agent_that_does_not_stop_speaking_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.handoff.PLAY_OUT_SECONDS", 0.01)
    world = World()
    world.journal.hold("agent.finish_speaking")
    await world.start_conversation()
    world.request_handoff()
    await world.finish()
    assert _stages(world)["play_out"] == Outcome(Result.CLIENT_ERROR, "cut_off")
    assert world.handoff.signal == "accepted"


def test_an_agent_has_ten_seconds_to_finish() -> None:
    from sipbridge.calls import handoff  # noqa: PLC0415 (a constant of the contract)

    assert handoff.PLAY_OUT_SECONDS == 10


async def test_an_agent_that_is_lost_during_playout_does_not_stop_the_handoff() -> None:
    world = World()
    world.conversation.finishing = ConnectionResetError("the agent's socket")
    await world.start_conversation()
    world.request_handoff()
    await world.finish()
    assert len(world.centre.signals) == 1
    assert world.handoff.state is HandoffState.COMPLETED


@pytest.mark.parametrize("destination", ["care", "sales", "desk"])
async def test_no_audio_passes_between_caller_and_agent_after_the_handoff(destination: str) -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    world.journal.when("caller.join", world.desk.far_end_hangs_up)
    await world.start_conversation()
    world.request_handoff(destination=destination)
    await world.finish()
    away = world.journal.only("centre.signal", "caller.refer", "caller.join", "caller.hang_up")[0]
    assert world.journal.steps.index("agent.stopped") < world.journal.steps.index(away)


# ---------------------------------------------------------------- the store


async def test_a_failing_store_does_not_stop_the_handoff() -> None:
    world = World()
    world.store.failing = StoreError("disk full")
    await world.hand_off()
    assert _stages(world)["store"] == Outcome(Result.SERVER_ERROR, "store_failed")
    assert [event.message for event in world.observer.of(StoreFailed)] == ["disk full", "disk full"]
    assert world.handoff.signal == "accepted"
    assert world.handoff.state is HandoffState.COMPLETED


async def test_a_store_that_hangs_delays_the_handoff_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_store_time(monkeypatch)
    world = World()
    world.journal.hold("store.put handoff_initiated")
    await world.hand_off()
    assert _stages(world)["store"] == Outcome(Result.SERVER_ERROR, "store_failed")
    assert world.observer.one(StoreFailed).message
    assert world.handoff.signal == "accepted"


async def test_an_unexpected_error_of_the_store_does_not_stop_the_handoff() -> None:
    world = World()
    world.store.failing = ConnectionResetError("nobody wrapped this")
    await world.hand_off()
    assert world.handoff.signal == "accepted"


# ---------------------------------------------------------------- the transcript


async def test_the_transcript_is_posted_once_as_escalated() -> None:
    world = World(handoff={"post_transcript": True})
    await world.hand_off(transcript=TRANSCRIPT)
    ((record, escalated),) = world.centre.transcripts
    assert escalated
    assert record.main_contact_id == "987654321"
    assert [turn.text for turn in record.transcript] == ["a human, please"]


async def test_a_failed_transcript_changes_nothing_else() -> None:
    world = World(handoff={"post_transcript": True})
    world.centre.takes_transcripts = False
    await world.hand_off(transcript=TRANSCRIPT)
    assert _stages(world)["transcript"] == Outcome(Result.UPSTREAM_ERROR, "transcript_failed")
    assert (world.handoff.signal, world.handoff.state) == ("accepted", HandoffState.COMPLETED)


@pytest.mark.parametrize(("wanted", "transcript"), [(False, TRANSCRIPT), (True, [])])
async def test_no_transcript_is_posted_if_not_configured_or_empty(
    wanted: bool,  # noqa: FBT001 (a parameter of the table)
    transcript: list[dict[str, str]],
) -> None:
    world = World(handoff={"post_transcript": wanted})
    await world.hand_off(transcript=transcript)
    assert not world.centre.transcripts
    assert "transcript" not in _stages(world)


# ---------------------------------------------------------------- the Signal


async def test_the_signal_follows_the_projects_templates() -> None:
    world = World()
    await world.hand_off(reason="billing")
    assert _sent(world) == {"p1": "care", "p2": "10000002", "p3": "billing", "p9": pop_url(world.record)}
    assert world.handoff.parameters == _sent(world)


async def test_the_agents_parameters_win_over_the_templates() -> None:
    world = World()
    await world.hand_off(parameters={"p1": "mine", "p2": "", "p5": {"a": 1}})
    sent = _sent(world)
    assert (sent["p1"], sent["p5"]) == ("mine", '{"a":1}')
    assert "p2" not in sent


@pytest.mark.parametrize(
    ("answer", "outcome", "confirmed"),
    [
        (SignalResult.ACCEPTED, Outcome(Result.INDETERMINATE, "unconfirmed"), HandoffState.COMPLETED),
        (SignalResult.REFUSED, Outcome(Result.CLIENT_ERROR, "signal_refused"), HandoffState.FAILED),
        (SignalResult.UNDELIVERED, Outcome(Result.UPSTREAM_ERROR, "signal_undelivered"), HandoffState.FAILED),
        (SignalResult.UNKNOWN, Outcome(Result.INDETERMINATE, "signal_unknown"), HandoffState.FAILED),
    ],
)
async def test_a_signal_is_sent_once_whatever_its_result_and_the_transfer_follows(
    answer: SignalResult, outcome: Outcome, confirmed: HandoffState
) -> None:
    world = World()
    world.centre.answer = answer
    record = await world.hand_off()
    assert len(world.centre.signals) == 1
    assert world.leg.hang_ups == [200]
    assert world.handoff.signal == answer.value
    assert (world.handoff.state, world.handoff.confirmed) == (confirmed, False)
    assert world.observer.one(HandoffFinished).outcome == outcome
    assert (record.result, record.reason) == (outcome.result, outcome.reason)


@pytest.mark.parametrize("destination", ["quiet", "carrier", "desk"])
async def test_a_destination_with_signal_false_sends_none(destination: str) -> None:
    world = World()
    world.journal.when("dial", lambda: world.desk.far_end_rejects(486))
    await world.hand_off(destination=destination)
    assert not world.centre.signals
    assert world.handoff.signal == "none"
    assert "signal" not in _stages(world)


# ---------------------------------------------------------------- a caller who hangs up


@pytest.mark.parametrize(
    ("step", "signals"),
    [
        ("agent.finish_speaking", 0),
        ("store.put handoff_initiated", 0),
        ("centre.post_transcript", 0),
        ("centre.signal", 1),
    ],
)
@pytest.mark.parametrize("destination", ["care", "sales", "team"])
async def test_the_caller_may_hang_up_in_any_stage(step: str, signals: int, destination: str) -> None:
    world = World(handoff={"post_transcript": True})
    world.journal.when(step, world.leg.far_end_hangs_up)
    record = await world.hand_off(destination=destination, transcript=TRANSCRIPT)
    assert len(world.centre.signals) == signals
    assert not world.leg.hang_ups
    assert not world.leg.refers
    assert record.ended_by == "caller"
    if not signals:
        assert (world.handoff.state, world.handoff.confirmed) == (HandoffState.FAILED, False)
        assert world.handoff.transfer == "caller_hung_up"
        assert world.observer.one(HandoffFinished).outcome == Outcome(Result.CLIENT_ERROR, "caller_hung_up")
        assert not world.observer.of(TransferDone)


async def test_the_callers_bye_does_not_interrupt_a_signal() -> None:
    world = World()
    let_go = world.journal.hold("centre.signal")
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until("centre.signal")
    world.leg.far_end_hangs_up()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not world.observer.of(SignalSent)
    let_go.set()
    await world.finish()
    assert world.observer.one(SignalSent).outcome.result is Result.SUCCESS


# ---------------------------------------------------------------- the utterance


def _utterance_stage(world: World) -> Outcome:
    (stage,) = [stage for stage in world.observer.of(HandoffStage) if stage.stage == "utterance"]
    return stage.outcome


async def test_the_utterance_is_played_before_the_signal() -> None:
    world = World(tts_command="say")
    await world.hand_off(utterance="One moment, please.")
    assert world.speaker.texts == ["One moment, please."]
    steps = world.journal.only("agent.finish_speaking", "caller.play", "store.put", "centre.signal")
    assert steps[:4] == ["agent.finish_speaking", "caller.play speech", "store.put handoff_initiated", "centre.signal"]
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


# ---------------------------------------------------------------- a Signal that is cut off


@pytest.mark.parametrize(("step", "signal"), [("token", "undelivered"), ("journal.signalling", "undelivered")])
async def test_a_handoff_interrupted_before_the_first_byte_of_its_signal_has_sent_none(step: str, signal: str) -> None:
    world = await _cut_off_in(step)
    assert (world.handoff.signal, world.handoff.state) == (signal, HandoffState.FAILED)
    assert world.handoff.parameters["p1"] == "care"


async def test_a_signal_interrupted_while_its_response_is_awaited_is_unknown_and_keeps_its_parameters() -> None:
    world = await _cut_off_in("centre.signal")
    assert (world.handoff.signal, world.handoff.state) == ("unknown", HandoffState.FAILED)
    assert world.handoff.parameters["p1"] == "care"
    assert world.observer.one(SignalSent).outcome == Outcome(Result.INDETERMINATE, "signal_unknown")


async def test_a_handoff_interrupted_after_an_accepted_signal_is_completed_and_not_confirmed() -> None:
    world = await _cut_off_in("caller.hang_up")
    assert (world.handoff.signal, world.handoff.state) == ("accepted", HandoffState.COMPLETED)
    assert world.handoff.confirmed is False


async def _cut_off_in(step: str) -> World:
    """A second SIGTERM, or a fault, ends the call during a stage."""
    world = World()
    held = world.journal.hold(step)
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until(step)
    assert world.task is not None
    world.task.cancel()
    held.set()
    assert (await world.finish()).reason == "shut_down"
    return world


async def test_the_journal_has_the_parameters_before_the_first_byte() -> None:
    world = World()
    await world.hand_off()
    (record,) = world.call_journal.signalling_records
    assert record.handoff is not None
    assert record.handoff.parameters == _sent(world)
