from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sipbridge.aio import interrupt_on
from sipbridge.errors import AgentUnavailable, DialFailed, LegEnded
from tests.agents.sip.support import IDENTITY, World, soon
from tests.fakes import FakeLeg

FIRST, SECOND = "sip:one@127.0.0.1:5090", "sip:two@127.0.0.1:5091"


async def _until_hung_up(*legs: FakeLeg) -> None:
    for leg in legs:
        await soon(asyncio.shield(leg.ended))


# ------------------------------------------------------------ reached


async def test_the_caller_gets_ringing_and_is_then_joined_to_the_agent() -> None:
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    leg.far_end_answers()
    await connecting
    assert world.journal.steps == ["caller.ring", "agent1.dial", "agent1.dialled", "caller.join"]
    assert world.caller.joined is leg
    assert world.caller.withheld_digit == "0"


async def test_the_invite_has_the_callers_number() -> None:
    world = World(headers={"X-Lang": "de"}, transport="tcp")
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    (await world.leg()).far_end_answers()
    await connecting
    invite = world.dialler.invites[0]
    assert invite.uri == "sip:bot@127.0.0.1:5090;transport=tcp"
    assert invite.caller == IDENTITY.caller
    assert invite.headers["X-Lang"] == "de"
    assert invite.headers["X-Sipbridge-Call-Id"] == IDENTITY.call_id


async def test_early_media_is_joined_before_the_answer() -> None:
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    leg.far_end_offers_audio()
    await world.journal.until("caller.early_media")
    assert world.caller.joined is leg
    assert not connecting.done()
    leg.far_end_answers()
    await connecting
    assert world.journal.only("caller") == ["caller.ring", "caller.join", "caller.early_media"]


async def test_audio_with_the_answer_is_not_early_media() -> None:
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    leg.far_end_offers_audio()
    leg.far_end_answers()
    await connecting
    assert world.journal.only("caller") == ["caller.ring", "caller.join"]


async def test_an_agent_that_hangs_up_with_a_handoff_after_its_answer_was_reached() -> None:
    # Its BYE may hand off.
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    world.journal.when("caller.join", lambda: leg.far_end_hangs_up({"X-Handoff-Destination": "sales"}))
    world.caller.joining = LegEnded("the other leg is gone")
    leg.far_end_answers()
    await connecting


async def test_an_agent_that_answers_and_hangs_up_at_once_was_not_reached() -> None:
    world = World(uri=[FIRST])
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    world.journal.when("caller.join", lambda: leg.far_end_hangs_up(heard=False))
    leg.far_end_answers()
    with pytest.raises(AgentUnavailable):
        await connecting


# ------------------------------------------------------------ not reached


async def test_the_next_uri_is_tried_after_a_failure_response() -> None:
    world = World(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    (await world.leg(1)).far_end_rejects(486)
    (await world.leg(2)).far_end_answers()
    await connecting
    assert [invite.uri for invite in world.dialler.invites] == [FIRST, SECOND]
    assert world.caller.joined is world.dialler.legs[1]


async def test_the_next_uri_is_tried_if_no_invite_could_be_sent() -> None:
    world = World(uri=[FIRST, SECOND])
    world.dialler.failing[FIRST] = DialFailed(500, "no route")
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    await world.journal.until("agent2.dialled")
    world.dialler.legs[0].far_end_answers()
    await connecting
    assert world.caller.joined is world.dialler.legs[0]


async def test_the_next_uri_is_tried_at_the_timeout_without_waiting_for_the_end_of_the_leg() -> None:
    world = World(uri=[FIRST, SECOND], answer_timeout_seconds=0.05)
    ending = world.journal.hold("agent1.hang_up")
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    (await world.leg(2)).far_end_answers()
    await connecting
    first = world.dialler.legs[0]
    assert first.hang_ups == [200]
    assert not first.ended.done()
    ending.set()
    await _until_hung_up(first)


async def test_the_early_media_of_a_failed_attempt_ends() -> None:
    world = World(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    first = await world.leg(1)
    first.far_end_offers_audio()
    await world.journal.until("caller.early_media")
    first.far_end_rejects(480)
    (await world.leg(2)).far_end_answers()
    await connecting
    steps = world.journal.steps
    assert steps.index("caller.part") < steps.index("agent2.dial")
    assert world.caller.joined is world.dialler.legs[1]


async def test_an_attempt_that_ends_while_early_media_is_joined_fails() -> None:
    world = World(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    first = await world.leg(1)
    world.journal.when("caller.join", lambda: first.far_end_rejects(503))
    world.caller.joining = LegEnded("the other leg is gone")
    first.far_end_offers_audio()
    await world.journal.until("agent2.dialled")
    world.caller.joining = None
    world.dialler.legs[1].far_end_answers()
    await connecting


async def test_an_attempt_that_cannot_be_joined_fails() -> None:
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    world.caller.joining = LegEnded("no port is free")
    leg.far_end_answers()
    with pytest.raises(AgentUnavailable, match="SIP 500"):
        await connecting
    await _until_hung_up(leg)


@pytest.mark.parametrize("uris", [[FIRST], [FIRST, SECOND]])
async def test_the_error_of_an_unreachable_agent_names_no_number(uris: list[str]) -> None:
    world = World(uri=uris)
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    for number, status in zip(range(1, len(uris) + 1), (404, 486), strict=False):
        (await world.leg(number)).far_end_rejects(status)
    with pytest.raises(AgentUnavailable) as caught:
        await connecting
    message = str(caught.value)
    assert f"{len(uris)} URIs answered; the last one: SIP {404 if len(uris) == 1 else 486}" in message
    assert "one@" not in message


async def test_a_timeout_counts_as_408() -> None:
    world = World(answer_timeout_seconds=0.01)
    with pytest.raises(AgentUnavailable, match="SIP 408"):
        await world.agent.connect(IDENTITY, world.caller)
    await _until_hung_up(*world.dialler.legs)


# ------------------------------------------------------------ a caller who hangs up


async def _connect_until_hangup(world: World) -> None:
    async with interrupt_on(world.caller.ended, LegEnded("the caller has hung up")):
        await world.agent.connect(IDENTITY, world.caller)


async def test_no_agent_is_dialled_after_the_caller_hangs_up() -> None:
    world = World()
    world.journal.hold("caller.ring")
    connecting = asyncio.create_task(_connect_until_hangup(world))
    await world.journal.until("caller.ring")
    world.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    assert world.dialler.invites == []


@pytest.mark.parametrize(
    ("does", "step"),
    [
        (FakeLeg.far_end_answers, "caller.join"),
        (FakeLeg.far_end_offers_audio, "caller.join"),
        (FakeLeg.far_end_offers_audio, "caller.early_media"),
    ],
)
async def test_the_agent_is_released_if_the_caller_hangs_up_during_the_join(
    does: Callable[[FakeLeg], None], step: str
) -> None:
    world = World()
    world.journal.hold(step)
    connecting = asyncio.create_task(_connect_until_hangup(world))
    leg = await world.leg()
    does(leg)
    await world.journal.until(step)
    world.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    await _until_hung_up(leg)


async def test_an_unanswered_agent_is_released_when_the_caller_hangs_up() -> None:
    world = World()
    connecting = asyncio.create_task(_connect_until_hangup(world))
    leg = await world.leg()
    world.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    await _until_hung_up(leg)
    assert leg.hang_ups == [200]


async def test_an_unusable_answer_fails_the_attempt() -> None:
    world = World(uri=["sip:bot@127.0.0.1:5090", "sip:spare@127.0.0.1:5091"])
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    first = await world.leg()
    # PJSUA accepts the 2xx and hangs up, because its codec was not offered.
    first.far_end_answers()
    first.stack_hangs_up(415)
    second = await world.leg(2)
    second.far_end_answers()
    await soon(connecting)


async def test_a_refer_before_a_failed_answer_gets_its_notify() -> None:
    world = World()
    connecting = asyncio.create_task(world.agent.connect(IDENTITY, world.caller))
    leg = await world.leg()
    assert leg.far_end_refers("<sip:sales@127.0.0.1>") == 202
    leg.far_end_rejects(486)
    with pytest.raises(AgentUnavailable):
        await connecting
    assert leg.notified == [(487, "Request Terminated")]
