"""The end of a call: its record in the store, its entries in the journal, and nothing left in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import pytest

from sipbridge.calls.endings import PROMPT_ENDED
from sipbridge.calls.events import StoreFailed
from sipbridge.calls.model import CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.errors import AgentUnavailable, StoreError
from sipbridge.handoffs.record import HandoffState, Turn
from tests.calls.world import World, shorten_store_time

# ---------------------------------------------------------------- the last write


async def test_a_failing_store_loses_the_record_but_not_the_call() -> None:
    world = World()
    world.store.failing = StoreError("disk full")
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.observer.one(StoreFailed).message == "disk full"


async def test_an_unexpected_error_of_the_store_does_not_keep_a_call_in_progress() -> None:
    world = World()
    world.store.failing = ConnectionResetError("nobody wrapped this")
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_a_store_that_hangs_does_not_keep_the_calls_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_store_time(monkeypatch)
    world = World()
    world.store.failing = StoreError("it never comes to that")
    world.journal.hold("store.put ended")
    await world.start_conversation()
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.observer.one(StoreFailed).record.call_id == world.record.call_id


async def test_a_failing_journal_is_an_event_and_the_call_goes_on() -> None:
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


# ---------------------------------------------------------------- failures at the end


@pytest.mark.parametrize("part", ["store", "journal", "observer", "leg", "agent"])
async def test_a_call_leaves_the_registry_whatever_fails_at_its_end(part: str) -> None:
    world = World()
    await world.start_conversation()

    def fail(*_: object, **__: object) -> NoReturn:
        raise TypeError("a fault of ours")

    if part == "store":
        world.store.failing = StoreError("full")
        world.call_journal.unstored = fail  # type: ignore[method-assign]
    elif part == "journal":
        world.call_journal.stored = fail  # type: ignore[method-assign]
    elif part == "observer":
        world.call.context = replace(world.call.context, observe=fail)
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


async def test_the_callers_bye_is_journalled_once_before_its_response() -> None:
    world = World()
    await world.start_conversation()
    answered: list[str] = []
    assert world.leg.note_bye(lambda: answered.append("now"))
    assert answered == ["now"]
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.journal.only("journal.hung_up") == ["journal.hung_up by caller"]


class EndWithBye(NamedTuple):
    """A call that ends by our BYE, with no Signal that arrived: its settings, what happens, who ended it."""

    handoff: dict[str, Any]
    settings: dict[str, Any]
    happens: Callable[[World], object]
    by: str


def _send_no_signal(world: World) -> None:
    world.centre.answer = SignalResult.UNDELIVERED
    world.conversation.hands_off()


def _cancel(world: World) -> None:
    assert world.task is not None
    world.task.cancel()


ENDS_WITH_BYE = {
    "the agent ends": EndWithBye({}, {}, lambda world: world.conversation.ends(), "agent"),
    "a prompt is over": EndWithBye({}, {}, lambda world: world.conversation.ends(PROMPT_ENDED), "agent"),
    "the API hangs up": EndWithBye({}, {}, lambda world: world.call.request_hangup(), "api"),
    "a Signal is undelivered": EndWithBye({}, {}, _send_no_signal, "bridge"),
    "a release without a Signal": EndWithBye(
        {}, {}, lambda world: world.request_handoff(destination="quiet"), "bridge"
    ),
    "a REFER without a Signal": EndWithBye(
        {}, {}, lambda world: world.request_handoff(destination="carrier"), "bridge"
    ),
    "the longest call": EndWithBye({"default": "quiet"}, {"max_call_seconds": 0.01}, lambda _: None, "bridge"),
    "no audio": EndWithBye({}, {"media_timeout_seconds": 0.1, "on_media_timeout": "hangup"}, lambda _: None, "bridge"),
    "a second SIGTERM": EndWithBye({}, {}, _cancel, "bridge"),
}


@pytest.mark.parametrize("end", ENDS_WITH_BYE.values(), ids=ENDS_WITH_BYE)
async def test_our_bye_is_between_two_entries_of_the_journal(end: EndWithBye) -> None:
    world = World(handoff={"end_signal": {}, **end.handoff})
    # Shorter than a configuration may say.
    world.call.project_config = world.call.project_config.model_copy(update=end.settings)
    world.leg.packets = 7
    await world.start_conversation()
    end.happens(world)
    await world.finish()
    assert _end_steps(world) == [f"journal.hanging_up by {end.by}", "caller.hang_up", f"journal.hung_up by {end.by}"]


async def test_our_bye_after_a_signal_does_not_wait_for_the_journal() -> None:
    world = World()
    await world.start_conversation()
    world.conversation.ends()
    await world.finish()
    assert _end_steps(world) == ["caller.hang_up", "journal.hung_up by agent"]


async def test_a_disk_that_hangs_delays_our_bye_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.leg_end.JOURNAL_SECONDS", 0.01)
    world = World(handoff={"end_signal": {}})
    world.call_journal.hanging = True
    await world.start_conversation()
    world.conversation.ends()
    await world.finish()
    assert _end_steps(world) == ["journal.hanging_up by agent", "caller.hang_up", "journal.hung_up by agent"]


def _end_steps(world: World) -> list[str]:
    return world.journal.only("caller.hang_up", "journal.hanging_up", "journal.hung_up")


@pytest.mark.parametrize("ends", ["agent", "API", "release"])
async def test_a_callers_bye_before_ours_makes_the_end_the_callers(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk hangs while the journal is to have our BYE, and the caller's comes meanwhile."""
    monkeypatch.setattr("sipbridge.calls.leg_end.JOURNAL_SECONDS", 100)
    world = World(handoff={"end_signal": {}})
    world.call_journal.hanging = True
    await world.start_conversation()
    by = {"agent": "agent", "API": "api", "release": "bridge"}[ends]
    held: list[bool] = []
    world.journal.when(f"journal.hanging_up by {by}", lambda: held.append(_caller_sends_bye(world)))
    if ends == "agent":
        world.conversation.ends()
    elif ends == "API":
        world.call.request_hangup()
    else:
        world.request_handoff(destination="quiet")
    record = await world.finish()
    assert held == [True]
    assert _end_steps(world) == [f"journal.hanging_up by {by}", "journal.hung_up by caller"]
    assert (record.ended_by, record.reason) == ("caller", "caller_hung_up")
    if record.handoff is not None:
        assert (record.handoff.state, record.handoff.transfer) == (HandoffState.FAILED, "caller_hung_up")


def _caller_sends_bye(world: World) -> bool:
    """Receive BYE, and pass it to PJSIP in the next turn of the loop. Return True if it is held."""
    held = world.leg.note_bye(lambda: None)
    asyncio.get_running_loop().call_soon(world.leg.far_end_hangs_up)
    return held


async def test_no_bye_of_ours_crosses_the_callers_while_that_waits_for_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sipbridge.calls.leg_end.HELD_SECONDS", 100)
    world = World(handoff={"end_signal": {}})
    await world.start_conversation()
    assert world.leg.note_bye(lambda: None)
    world.conversation.ends()
    asyncio.get_running_loop().call_later(0.02, world.leg.far_end_hangs_up)
    record = await world.finish()
    assert _end_steps(world) == ["journal.hung_up by caller"]
    assert (record.ended_by, record.reason) == ("caller", "caller_hung_up")


@pytest.mark.parametrize("hands_off", [True, False])
@pytest.mark.parametrize("step", ["agent.finish_speaking", "centre.post_transcript"])
async def test_a_callers_bye_that_waits_for_the_journal_stops_the_signal(
    monkeypatch: pytest.MonkeyPatch, step: str, *, hands_off: bool
) -> None:
    monkeypatch.setattr("sipbridge.calls.leg_end.HELD_SECONDS", 100)
    world = World(handoff={"end_signal": {"p1": "End"}, "post_transcript": True})
    await world.start_conversation()
    world.call.add_turns([Turn(role="customer", text="Goodbye.")])

    def hang_up() -> None:
        assert world.leg.note_bye(lambda: None)
        asyncio.get_running_loop().call_later(0.02, world.leg.far_end_hangs_up)

    world.journal.when(step, hang_up)
    if hands_off:
        world.request_handoff()
    else:
        world.conversation.ends()
    record = await world.finish()
    assert world.centre.signals == []
    assert (record.ended_by, record.reason) == ("caller", "caller_hung_up")
    if hands_off:
        assert record.handoff is not None
        assert (record.handoff.state, record.handoff.transfer) == (HandoffState.FAILED, "caller_hung_up")


async def test_a_held_bye_that_does_not_end_the_leg_delays_ours_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.leg_end.HELD_SECONDS", 0.01)
    world = World(handoff={"end_signal": {}})
    await world.start_conversation()
    assert world.leg.note_bye(lambda: None)
    world.conversation.ends()
    await world.finish()
    assert _end_steps(world) == ["journal.hung_up by caller", "caller.hang_up"]


async def test_the_end_of_an_unanswered_call_is_not_journalled() -> None:
    world = World(on_agent_failure="reject")
    world.agent.failing = AgentUnavailable("not reached")
    world.begin()
    await world.finish()
    assert world.journal.only("journal.hung_up") == []


async def test_cxones_bye_after_an_accepted_signal_is_not_delayed() -> None:
    world = World()
    world.journal.when("agent.close", lambda: None)
    await world.start_conversation()
    world.request_handoff()
    await world.journal.until("journal.signalled accepted")
    assert not world.leg.note_bye(lambda: None)
    await world.finish()


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("end", ["rejected", "caller", "agent", "handoff", "cut off"])
async def test_an_ended_call_is_freed_without_the_garbage_collector(end: str) -> None:
    """The garbage collector runs seldom, and a call keeps its configuration version in memory."""
    world = World()
    gc.collect()
    gc.disable()
    try:
        await (world.ring() if end == "rejected" else world.start_conversation())
        if end == "rejected":
            world.call.request_hangup()
        elif end == "caller":
            world.leg.far_end_hangs_up()
        elif end == "agent":
            world.conversation.ends()
        elif end == "handoff":
            world.request_handoff()
        elif world.task is not None:
            world.task.cancel()
        await world.finish()
        call = weakref.ref(world.call)
        # The references of the test itself.
        world.conversation.call = world.task = None
        world.leg = world.call = None  # type: ignore[assignment]
        for _ in range(5):
            await asyncio.sleep(0)
        assert call() is None
    finally:
        gc.enable()
