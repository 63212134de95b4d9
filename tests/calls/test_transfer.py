"""The transfer by `release`, `refer` and `invite`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sipbridge.calls.events import HandoffFinished, HandoffStage, TransferDone
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferOutcome, ReferResult
from sipbridge.errors import DialFailed, LegEnded
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from tests.calls.world import DESK_URI, SALES_URI, World

HANDED_OFF = Outcome(Result.SUCCESS, "handed_off")
UNCONFIRMED = Outcome(Result.INDETERMINATE, "unconfirmed")


def _end(world: World) -> tuple[HandoffState, bool | None, Outcome]:
    return world.handoff.state, world.handoff.confirmed, world.observer.one(HandoffFinished).outcome


def _transfers(world: World) -> list[tuple[str, Result, int]]:
    return [(event.method, event.outcome.result, event.sip_status) for event in world.observer.of(TransferDone)]


def _next(action: Callable[[], object]) -> asyncio.Handle:
    """Run an action when the bridge waits again."""
    return asyncio.get_running_loop().call_soon(action)


# ---------------------------------------------------------------- release


async def test_cxones_bye_after_the_signal_confirms_a_release() -> None:
    world = World(handoff={"release_grace_seconds": 60})
    world.journal.when("centre.signal", lambda: _next(world.leg.far_end_hangs_up))
    record = await world.hand_off()
    assert not world.leg.hang_ups
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)
    assert (record.ended_by, record.result) == ("caller", Result.SUCCESS)
    assert _transfers(world) == [("release", Result.SUCCESS, 0)]


async def test_without_cxones_bye_ours_ends_the_call_after_release_grace_seconds() -> None:
    world = World(handoff={"release_grace_seconds": 0.05})
    await world.start_conversation()
    began = asyncio.get_running_loop().time()
    world.conversation.hands_off()
    await world.journal.until("caller.hang_up")
    assert asyncio.get_running_loop().time() - began >= 0.049
    record = await world.finish()
    assert _end(world) == (HandoffState.COMPLETED, False, UNCONFIRMED)
    assert (record.ended_by, record.result) == ("bridge", Result.INDETERMINATE)


async def test_a_release_without_grace_ends_at_once() -> None:
    world = World(handoff={"release_grace_seconds": 0})
    await world.hand_off()
    assert world.leg.hang_ups == [200]


@pytest.mark.parametrize("answer", [SignalResult.REFUSED, SignalResult.UNDELIVERED])
async def test_after_a_signal_without_effect_bye_is_sent_at_once(answer: SignalResult) -> None:
    world = World(handoff={"release_grace_seconds": 3600})
    world.centre.answer = answer
    await world.hand_off()
    assert world.handoff.state is HandoffState.FAILED


async def test_a_bye_after_an_unknown_signal_leaves_the_handoff_unconfirmed() -> None:
    world = World(handoff={"release_grace_seconds": 60})
    world.centre.answer = SignalResult.UNKNOWN
    world.journal.when("centre.signal", lambda: _next(world.leg.far_end_hangs_up))
    await world.hand_off()
    assert _end(world) == (HandoffState.COMPLETED, False, UNCONFIRMED)


async def test_a_release_without_signal_is_unconfirmed() -> None:
    world = World(handoff={"release_grace_seconds": 3600})
    await world.hand_off(destination="quiet")
    assert _end(world) == (HandoffState.COMPLETED, False, UNCONFIRMED)


# ---------------------------------------------------------------- refer


async def test_a_refer_has_the_uri_and_headers_and_a_limit_of_15_seconds() -> None:
    world = World()
    await world.hand_off(destination="sales", sip_headers={"X-Ticket": "7"})
    assert world.leg.refers == [(SALES_URI, {"X-Queue": "sales", "X-Ticket": "7"}, 15.0)]


async def test_a_header_of_the_agent_replaces_the_destinations_in_any_case() -> None:
    world = World()
    await world.hand_off(destination="sales", sip_headers={"x-queue": "vip"})
    ((_, headers, _),) = world.leg.refers
    assert list(headers.values()) == ["vip"]


async def test_a_refer_that_notify_confirms_ends_the_call() -> None:
    world = World()
    await world.hand_off(destination="sales")
    assert world.journal.only("centre.", "caller.refer", "caller.bye", "caller.hang_up") == [
        "centre.signal",
        "caller.refer",
        "caller.bye",
    ]
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)
    assert world.handoff.transfer == "refer_accepted"
    assert _transfers(world) == [("refer", Result.SUCCESS, 200)]


async def test_without_a_signal_the_journal_has_the_bye_after_a_refer_first() -> None:
    world = World()
    await world.hand_off(destination="carrier")
    assert world.journal.only("caller.refer", "journal.hanging_up", "caller.bye", "caller.hang_up") == [
        "caller.refer",
        "journal.hanging_up by bridge",
        "caller.hang_up",
    ]


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (ReferResult.REFUSED, 405),
        (ReferResult.REFUSED, 603),
        (ReferResult.FAILED, 486),
        (ReferResult.FAILED, 503),
    ],
)
async def test_a_refer_that_fails_falls_back_to_release(result: ReferResult, status: int) -> None:
    world = World(handoff={"release_grace_seconds": 60})
    world.leg.referring = ReferOutcome(result, status)
    world.journal.when("caller.refer", lambda: _next(world.leg.far_end_hangs_up))
    await world.hand_off(destination="sales")
    assert _transfers(world) == [("refer", Result.UPSTREAM_ERROR, status), ("release", Result.SUCCESS, 0)]
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)
    assert world.handoff.transfer == f"refer_{result.value}, released_by_peer"


@pytest.mark.parametrize(
    ("signal", "state", "outcome"),
    [
        (SignalResult.ACCEPTED, HandoffState.COMPLETED, UNCONFIRMED),
        (SignalResult.UNKNOWN, HandoffState.FAILED, Outcome(Result.INDETERMINATE, "signal_unknown")),
        (SignalResult.UNDELIVERED, HandoffState.FAILED, Outcome(Result.UPSTREAM_ERROR, "signal_undelivered")),
    ],
)
async def test_after_a_refused_refer_the_signal_decides(
    signal: SignalResult, state: HandoffState, outcome: Outcome
) -> None:
    world = World()
    world.centre.answer = signal
    world.leg.referring = ReferOutcome(ReferResult.REFUSED, 405)
    await world.hand_off(destination="sales")
    assert _end(world) == (state, False, outcome)
    assert world.handoff.transfer == "refer_refused, released"
    assert world.leg.hang_ups == [200]


async def test_a_refused_refer_without_a_signal_fails_the_handoff() -> None:
    world = World(handoff={"release_grace_seconds": 3600})
    world.leg.referring = ReferOutcome(ReferResult.REFUSED, 603)
    await world.hand_off(destination="carrier")
    assert _end(world) == (HandoffState.FAILED, False, Outcome(Result.UPSTREAM_ERROR, "refer_refused"))
    assert world.leg.hang_ups == [200]


@pytest.mark.parametrize("result", [ReferResult.NO_NOTIFY, ReferResult.PEER_HUNG_UP])
async def test_a_refer_that_was_only_accepted_is_unconfirmed(result: ReferResult) -> None:
    world = World()
    if result is ReferResult.PEER_HUNG_UP:
        world.journal.when("caller.refer", world.leg.far_end_hangs_up)
    world.leg.referring = ReferOutcome(result, 0)
    await world.hand_off(destination="carrier")
    assert _end(world) == (HandoffState.COMPLETED, False, UNCONFIRMED)
    assert _transfers(world) == [("refer", Result.INDETERMINATE, 0)]
    assert world.leg.hang_ups == ([200] if result is ReferResult.NO_NOTIFY else [])


async def test_a_refer_that_was_not_sent_falls_back_to_release() -> None:
    """`LegEnded` although the leg has not ended: PJSIP did not send the request."""
    world = World()
    world.leg.referring = LegEnded("the request could not be sent")
    await world.hand_off(destination="carrier")
    assert world.handoff.state is HandoffState.FAILED
    assert [method for method, _, _ in _transfers(world)] == ["refer", "release"]


@pytest.mark.parametrize("signal", [SignalResult.REFUSED, SignalResult.UNDELIVERED])
async def test_a_caller_who_hangs_up_before_the_refer_fails_the_handoff(signal: SignalResult) -> None:
    world = World()
    world.centre.answer = signal
    world.journal.when("centre.signal", world.leg.far_end_hangs_up)
    await world.hand_off(destination="sales")
    assert not world.leg.refers
    assert (world.handoff.state, world.handoff.confirmed) == (HandoffState.FAILED, False)
    assert world.handoff.transfer == "caller_hung_up"
    assert _transfers(world) == [("refer", Result.CLIENT_ERROR, 0)]


# ---------------------------------------------------------------- invite


async def test_a_destination_that_answers_is_joined_until_it_ends() -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    await world.start_conversation()
    world.conversation.hands_off(destination="desk", sip_headers={"X-Ticket": "7"})
    await world.journal.until("caller.join")
    await world.observer.until(HandoffFinished)
    [invite] = world.dialler.invites
    assert (invite.uri, invite.headers, invite.caller) == (DESK_URI, {"X-Ticket": "7"}, "+15550100")
    assert world.leg.joined is world.desk
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)
    assert world.task is not None
    assert not world.task.done()
    assert not world.leg.ended.done()
    world.desk.far_end_hangs_up()
    record = await world.finish()
    assert world.leg.hang_ups == [200]
    assert record.result is Result.SUCCESS
    assert _transfers(world) == [("invite", Result.SUCCESS, 200)]
    assert world.handoff.transfer == "invite_answered"


async def test_a_caller_who_hangs_up_ends_the_desk_too() -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    world.journal.when("caller.join", lambda: _next(world.leg.far_end_hangs_up))
    record = await world.hand_off(destination="desk")
    assert world.desk.hang_ups == [200]
    assert record.ended_by == "caller"
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)


async def test_a_joined_handoff_is_stored_as_completed_while_the_call_goes_on() -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    await world.start_conversation()
    world.conversation.hands_off(destination="desk")
    await world.observer.until(HandoffFinished)
    async with asyncio.timeout(1):
        try:
            await world.journal.until("store.put handoff_completed")
        finally:
            world.desk.far_end_hangs_up()
    await world.finish()


async def test_the_transfer_stage_ends_when_the_two_are_joined() -> None:
    """The conversation with the human agent does not count as part of the handoff."""
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    await world.start_conversation()
    world.conversation.hands_off(destination="desk")
    await world.observer.until(HandoffFinished)
    for _ in range(10):
        await asyncio.sleep(0)
    stages = [event.stage for event in world.observer.of(HandoffStage)]
    world.desk.far_end_hangs_up()
    await world.finish()
    assert stages[-1] == "transfer"
    assert [event.stage for event in world.observer.of(HandoffStage)] == stages


def _drains(world: World) -> None:
    world.call.drain()


def _caller_media_stops(world: World) -> None:
    world.leg.packets = 7


def _desk_media_stops(world: World) -> None:
    world.desk.packets = 7


def _nothing_happens(_world: World) -> None:
    """Nothing but time passes."""


@pytest.mark.parametrize(
    ("limits", "happens"),
    [
        ({}, _drains),
        ({"media_timeout_seconds": 0.1}, _caller_media_stops),
        ({"media_timeout_seconds": 0.1}, _desk_media_stops),
        ({"max_call_seconds": 0.05}, _nothing_happens),
    ],
)
async def test_both_legs_of_a_joined_call_end_together(
    limits: dict[str, float], happens: Callable[[World], None]
) -> None:
    world = World()
    world.call.project_config = world.call.project_config.model_copy(update=limits)
    world.journal.when("dial", world.desk.far_end_answers)
    await world.start_conversation()
    world.conversation.hands_off(destination="desk")
    await world.observer.until(HandoffFinished)
    happens(world)
    record = await world.finish()
    assert (world.leg.hang_ups, world.desk.hang_ups) == ([200], [200])
    assert _end(world) == (HandoffState.COMPLETED, True, HANDED_OFF)
    assert (record.ended_by, record.result, record.reason) == ("bridge", Result.SUCCESS, "handed_off")


async def test_a_ringing_desk_is_given_up_while_the_bridge_drains() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.hands_off(destination="desk")
    await world.journal.until("dial")
    world.call.drain()
    await world.finish()
    assert world.desk.hang_ups == [200]
    assert world.handoff.transfer == "invite_no_answer, released"


@pytest.mark.parametrize("status", [486, 404, 603, 503])
async def test_a_destination_that_rejects_the_call_falls_back_to_release(status: int) -> None:
    world = World()
    world.journal.when("dial", lambda: world.desk.far_end_rejects(status))
    await world.hand_off(destination="team")
    assert _transfers(world)[0] == ("invite", Result.UPSTREAM_ERROR, status)
    assert _transfers(world)[1][0] == "release"
    assert world.handoff.transfer == "invite_refused, released"
    assert _end(world) == (HandoffState.COMPLETED, False, UNCONFIRMED)


async def test_a_destination_that_cannot_be_called_fails_the_handoff() -> None:
    world = World()
    world.dialling = DialFailed(500, "no INVITE could be sent")
    await world.hand_off(destination="desk")
    assert _transfers(world)[0] == ("invite", Result.UPSTREAM_ERROR, 500)
    assert _end(world) == (HandoffState.FAILED, False, Outcome(Result.UPSTREAM_ERROR, "invite_refused"))


async def test_a_destination_that_does_not_answer_in_time_is_given_up() -> None:
    world = World()
    await world.hand_off(destination="team")
    assert world.desk.hang_ups == [200]
    assert _transfers(world)[0] == ("invite", Result.UPSTREAM_ERROR, 408)
    assert world.handoff.transfer == "invite_no_answer, released"


async def test_a_destination_that_never_responds_does_not_delay_the_caller() -> None:
    """A CANCEL may take half a minute (RFC 3261, 9.1 and 17.1.1)."""
    world = World()
    let_go = world.journal.hold("desk.hang_up")
    await world.start_conversation()
    world.conversation.hands_off(destination="team")
    try:
        async with asyncio.timeout(1):
            await world.journal.until("caller.hang_up")
    finally:
        let_go.set()
        await world.finish()


async def test_a_caller_who_hangs_up_while_the_desk_rings_ends_its_ringing() -> None:
    world = World()
    world.journal.when("dial", lambda: _next(world.leg.far_end_hangs_up))
    record = await world.hand_off(destination="desk")
    assert world.desk.hang_ups == [200]
    assert record.ended_by == "caller"
    assert _end(world) == (HandoffState.FAILED, False, Outcome(Result.CLIENT_ERROR, "caller_hung_up"))
    assert _transfers(world) == [("invite", Result.CLIENT_ERROR, 0)]


async def test_a_desk_that_hangs_up_before_the_join_falls_back_to_release() -> None:
    world = World()
    world.journal.when("dial", world.desk.far_end_answers)
    world.leg.joining = LegEnded("the far end has hung up")
    await world.hand_off(destination="team")
    assert world.handoff.transfer == "invite_refused, released"
    assert world.leg.hang_ups == [200]
