"""The setup of a call: its agent, its answer, and a caller who gives up."""

from __future__ import annotations

import pytest

from sipbridge.calls.events import (
    AgentConnected,
    CallAnswered,
    InviteAnswered,
)
from sipbridge.calls.model import CallState
from sipbridge.errors import AgentUnavailable, LegEnded, NodeTakenOver
from sipbridge.handoffs.outcome import Outcome, Result
from tests.calls.world import CONTACT, World


def _invite_answer(world: World) -> tuple[int, str]:
    answer = world.observer.one(InviteAnswered)
    assert (answer.sip_call_id, answer.call_id) == ("sip-id@trunk", world.record.call_id)
    return answer.sip_status, answer.reason


async def test_the_caller_is_answered_once_the_agent_is_connected() -> None:
    world = World()
    await world.start_conversation()
    assert world.journal.only("agent.connect", "caller.answer", "agent.run") == [
        "agent.connect",
        "caller.answer",
        "agent.run",
    ]
    assert world.leg.answer_headers == {"X-Sipbridge-Call-Id": world.record.call_id}
    assert world.record.state is CallState.TALKING
    assert world.record.answered_at is not None
    assert world.call_journal.answered_at == {world.record.call_id: world.record.answered_at}
    assert _invite_answer(world) == (200, "answered")
    assert world.observer.one(CallAnswered).setup_seconds == 0.25
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_the_agent_gets_the_identity_of_the_call() -> None:
    world = World()
    await world.start_conversation()
    ((identity, leg),) = world.agent.connected
    assert leg is world.leg
    assert (identity.call_id, identity.contact_id, identity.caller) == (world.record.call_id, CONTACT, "+15550100")
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_a_call_is_found_while_it_is_in_progress() -> None:
    world = World()
    await world.start_conversation()
    assert world.registry.find("acme", "billing", world.record.call_id) is world.call
    assert world.registry.find_shared("acme", "billing", CONTACT) is world.call
    world.leg.far_end_hangs_up()
    await world.finish()
    assert world.registry.find("acme", "billing", world.record.call_id) is None
    assert world.registry.find_shared("acme", "billing", CONTACT) is None


async def test_without_an_agent_the_caller_gets_480() -> None:
    world = World(on_agent_failure="reject")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    record = await world.finish()
    assert world.leg.hang_ups == [480]
    assert _invite_answer(world) == (480, "agent_unavailable")
    assert (record.result, record.reason) == (Result.UPSTREAM_ERROR, "agent_unavailable")
    assert record.ended_by == "bridge"
    assert world.observer.one(AgentConnected).outcome == Outcome(Result.UPSTREAM_ERROR, "agent_unavailable")
    assert not world.centre.signals
    assert not world.observer.of(CallAnswered)


async def test_without_an_agent_the_caller_is_handed_off_if_configured() -> None:
    world = World(on_agent_failure="handoff")
    world.agent.failing = AgentUnavailable("the agent did not answer")
    world.begin()
    await world.finish()
    assert _invite_answer(world) == (200, "answered")
    assert (world.handoff.destination, world.handoff.reason) == ("care", "agent_unavailable")
    assert world.handoff.requested_by == "bridge"
    assert world.centre.signals[0][1]["p3"] == "agent_unavailable"


async def test_a_caller_of_a_node_that_was_taken_over_gets_503() -> None:
    world = World()
    world.call_journal.refusing = NodeTakenOver("another node has the calls of this one")
    world.begin()
    record = await world.finish()
    assert (world.leg.hang_ups, world.leg.hang_up_headers) == ([503], {"Retry-After": "5"})
    assert _invite_answer(world) == (503, "taken_over")
    assert (record.result, record.reason, record.ended_by) == (Result.SERVER_ERROR, "taken_over", "bridge")
    assert world.journal.only("journal.hung_up") == ["journal.hung_up by bridge"], "so that no start recovers it"
    assert not world.centre.signals
    assert not world.observer.of(CallAnswered)


async def test_the_api_may_hang_up_a_call_that_still_rings() -> None:
    world = World()
    await world.ring()
    world.call.request_hangup()
    record = await world.finish()
    assert world.leg.hang_ups == [480]
    assert _invite_answer(world) == (480, "hung_up_by_api")
    assert (record.result, record.reason, record.ended_by) == (Result.SUCCESS, "hung_up_by_api", "api")
    assert record.answered_at is None
    assert not world.centre.signals
    assert not world.observer.of(AgentConnected)


async def test_a_call_that_still_rings_on_a_node_that_was_taken_over_gets_503() -> None:
    world = World()
    await world.ring()
    world.call.yield_to_rescuer()
    record = await world.finish()
    assert (world.leg.hang_ups, world.leg.hang_up_headers) == ([503], {"Retry-After": "5"})
    assert _invite_answer(world) == (503, "taken_over")
    assert (record.result, record.reason, record.ended_by) == (Result.SERVER_ERROR, "taken_over", "bridge")
    assert not world.centre.signals


async def test_a_call_that_is_ended_as_its_agent_connects_is_not_answered() -> None:
    world = World()
    world.journal.when("agent.connect", world.call.request_hangup)
    world.begin()
    await world.finish()
    assert _invite_answer(world) == (480, "hung_up_by_api")
    assert not world.observer.of(CallAnswered)


async def test_a_caller_who_gives_up_before_the_rejection_has_cancelled() -> None:
    world = World()
    await world.ring()
    world.call.request_hangup()
    world.leg.far_end_hangs_up()
    record = await world.finish()
    assert _invite_answer(world) == (487, "cancelled")
    assert (record.reason, record.ended_by) == ("cancelled", "caller")


async def test_a_caller_who_gives_up_before_the_answer_gets_487() -> None:
    world = World()
    world.journal.when("agent.connect", world.leg.far_end_hangs_up)
    world.begin()
    record = await world.finish()
    assert _invite_answer(world) == (487, "cancelled")
    assert (record.result, record.reason) == (Result.CLIENT_ERROR, "cancelled")
    assert record.ended_by == "caller"
    assert record.answered_at is None
    assert not world.centre.signals


async def test_a_caller_who_gives_up_does_not_wait_for_the_agent() -> None:
    world = World()
    await world.ring()
    world.leg.far_end_hangs_up()
    await world.finish()


async def test_an_agent_connected_too_late_is_released() -> None:
    world = World()
    world.journal.when("caller.answer", world.leg.far_end_hangs_up)
    world.begin()
    await world.finish()
    assert world.journal.steps.count("agent.close") == 1


@pytest.mark.parametrize("step", ["connect", "answer"])
async def test_a_failure_before_the_answer_never_results_in_a_2xx(step: str) -> None:
    """A 2xx as the final response of a failed call would connect the caller to nothing."""
    world = World()
    if step == "connect":
        world.agent.failing = RuntimeError("a fault of the agent's code")
    else:
        world.leg.answering = RuntimeError("a fault below")
    world.begin()
    await world.finish()
    (status,) = world.leg.hang_ups
    assert 400 <= status <= 699
    assert _invite_answer(world)[0] == status


async def test_an_answer_that_cannot_be_sent_does_not_count_as_cancelled() -> None:
    """`LegEnded` may also mean that PJSIP did not send a request; the leg has not ended then."""
    world = World()
    world.leg.answering = LegEnded("the request could not be sent")
    world.begin()
    record = await world.finish()
    assert all(status >= 400 for status in world.leg.hang_ups)
    assert record.reason != "cancelled"
