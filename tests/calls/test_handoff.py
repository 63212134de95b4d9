"""The stages of a handoff, their order, and their failures."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, HandoffStarted, SignalSent, StoreFailed, TransferDone
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import StoreError
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import CONTACT, World, shorten_store_time

TRANSCRIPT = [{"role": "caller", "text": "a human, please"}]


def _stages(world: World) -> dict[str, Outcome]:
    return {event.stage: event.outcome for event in world.observer.of(HandoffStage)}


async def test_the_stages_follow_the_contracts_order() -> None:
    world = World(handoff={"post_transcript": True})
    await world.hand_off(transcript=TRANSCRIPT)
    assert world.journal.steps[world.journal.steps.index("agent.run") + 1 :] == [
        "journal.handing_off handoff_initiated",
        "agent.finish_speaking",
        "store.put_later handoff_initiated",
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


async def test_no_write_of_the_store_is_urgent_if_the_journal_has_the_record_with_the_signal() -> None:
    world = World()
    await world.hand_off()
    assert world.store.urgent == [False]
    (journalled,) = world.call_journal.signalling_records
    assert journalled.handoff is not None
    assert journalled.handoff.state is HandoffState.INITIATED


async def test_without_a_signal_the_record_is_on_the_disk_before_the_transfer() -> None:
    world = World()
    await world.hand_off(destination="carrier")
    steps = world.journal.only("store.put", "caller.refer")
    assert steps[:2] == ["store.put handoff_initiated", "caller.refer"]
    assert world.store.urgent == [True, False]


@pytest.mark.parametrize(
    ("result", "urgent"),
    [(SignalResult.ACCEPTED, False), (SignalResult.UNKNOWN, False), (SignalResult.UNDELIVERED, True)],
)
async def test_the_end_of_the_leg_is_journalled_at_once_only_if_no_signal_came_before(
    result: SignalResult,
    urgent: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    world = World()
    world.centre.answer = result
    await world.hand_off()
    assert world.call_journal.urgent_ends == [urgent]


@pytest.mark.parametrize("withheld", [False, True])
async def test_if_no_signal_was_delivered_the_record_is_on_the_disk_before_the_transfer(
    withheld: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    world = World()
    world.centre.answer = SignalResult.UNDELIVERED
    if withheld:
        world.registry.mark_signalled([world.call.record.call_id])
    await world.hand_off(destination="sales")
    steps = world.journal.only("store.put", "caller.refer")
    assert steps[:3] == ["store.put_later handoff_initiated", "store.put handoff_initiated", "caller.refer"]
    assert world.store.urgent == [True, False]


async def test_a_call_is_found_by_its_new_shared_id_at_once() -> None:
    world = World()
    await world.start_conversation()
    world.request_handoff(shared_id="crm-1")
    assert world.registry.find_shared("acme", "billing", "crm-1") is world.call
    assert world.registry.find_shared("acme", "billing", CONTACT) is None
    await world.finish()
    assert world.registry.find_shared("acme", "billing", "crm-1") is None


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
    await world.hand_off(destination="quiet")  # with a Signal, the handoff does not wait for the store at all
    assert _stages(world)["store"] == Outcome(Result.SERVER_ERROR, "store_failed")
    assert world.observer.one(StoreFailed).message
    assert world.handoff.state is HandoffState.COMPLETED


async def test_an_unexpected_error_of_the_store_does_not_stop_the_handoff() -> None:
    world = World()
    world.store.failing = ConnectionResetError("nobody wrapped this")
    await world.hand_off()
    assert world.handoff.signal == "accepted"


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


@pytest.mark.parametrize(
    ("step", "signals"),
    [
        ("agent.finish_speaking", 0),
        ("store.put_later handoff_initiated", 0),
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
