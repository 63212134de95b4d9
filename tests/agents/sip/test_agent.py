from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sipbridge.aio import interrupt_on
from sipbridge.errors import AgentUnavailable, DialFailed, LegEnded
from tests.agents.sip.support import IDENTITY, Scene, soon
from tests.fakes import FakeLeg

FIRST, SECOND = "sip:one@127.0.0.1:5090", "sip:two@127.0.0.1:5091"


async def _until_hung_up(*legs: FakeLeg) -> None:
    for leg in legs:
        await soon(asyncio.shield(leg.ended))


# ------------------------------------------------------------ reached


async def test_the_caller_hears_ringing_then_is_joined_to_the_agent() -> None:
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    leg.far_end_answers()
    await connecting
    assert scene.journal.steps == ["caller.ring", "agent1.dial", "agent1.dialled", "caller.join"]
    assert scene.caller.joined is leg


async def test_the_invite_has_the_callers_number() -> None:
    scene = Scene(headers={"X-Lang": "de"}, transport="tcp")
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    (await scene.leg()).far_end_answers()
    await connecting
    invite = scene.line.invites[0]
    assert invite.uri == "sip:bot@127.0.0.1:5090;transport=tcp"
    assert invite.caller == IDENTITY.caller
    assert invite.headers["X-Lang"] == "de"
    assert invite.headers["X-Sipbridge-Call-Id"] == IDENTITY.call_id


async def test_early_media_is_heard_before_the_answer() -> None:
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    leg.far_end_offers_audio()
    await scene.journal.until("caller.early_media")
    assert scene.caller.joined is leg
    assert not connecting.done()
    leg.far_end_answers()
    await connecting
    assert scene.journal.only("caller") == ["caller.ring", "caller.join", "caller.early_media"]


async def test_audio_with_the_answer_is_not_early_media() -> None:
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    leg.far_end_offers_audio()
    leg.far_end_answers()
    await connecting
    assert scene.journal.only("caller") == ["caller.ring", "caller.join"]


async def test_an_agent_that_hangs_up_with_a_handoff_after_its_answer_was_reached() -> None:
    # Its BYE may hand off.
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    scene.journal.when("caller.join", lambda: leg.far_end_hangs_up({"X-Handoff-Destination": "sales"}))
    scene.caller.joining = LegEnded("the other leg is gone")
    leg.far_end_answers()
    await connecting


async def test_an_agent_that_answers_and_hangs_up_at_once_was_not_reached() -> None:
    scene = Scene(uri=[FIRST])
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    scene.journal.when("caller.join", lambda: leg.far_end_hangs_up(heard=False))
    leg.far_end_answers()
    with pytest.raises(AgentUnavailable):
        await connecting


# ------------------------------------------------------------ not reached


async def test_the_next_uri_is_tried_after_a_failure_response() -> None:
    scene = Scene(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    (await scene.leg(1)).far_end_refuses(486)
    (await scene.leg(2)).far_end_answers()
    await connecting
    assert [invite.uri for invite in scene.line.invites] == [FIRST, SECOND]
    assert scene.caller.joined is scene.line.legs[1]


async def test_the_next_uri_is_tried_if_no_invite_could_be_sent() -> None:
    scene = Scene(uri=[FIRST, SECOND])
    scene.line.failing[FIRST] = DialFailed(500, "no route")
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    await scene.journal.until("agent2.dialled")
    scene.line.legs[0].far_end_answers()
    await connecting
    assert scene.caller.joined is scene.line.legs[0]


async def test_the_next_uri_is_tried_at_the_timeout_without_waiting_for_the_end_of_the_leg() -> None:
    scene = Scene(uri=[FIRST, SECOND], answer_timeout_seconds=0.05)
    ending = scene.journal.hold("agent1.hang_up")
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    (await scene.leg(2)).far_end_answers()
    await connecting
    first = scene.line.legs[0]
    assert first.hang_ups == [200]
    assert not first.ended.done()
    ending.set()
    await _until_hung_up(first)


async def test_the_early_media_of_a_failed_attempt_ends() -> None:
    scene = Scene(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    first = await scene.leg(1)
    first.far_end_offers_audio()
    await scene.journal.until("caller.early_media")
    first.far_end_refuses(480)
    (await scene.leg(2)).far_end_answers()
    await connecting
    steps = scene.journal.steps
    assert steps.index("caller.part") < steps.index("agent2.dial")
    assert scene.caller.joined is scene.line.legs[1]


async def test_an_attempt_that_ends_while_early_media_is_joined_fails() -> None:
    scene = Scene(uri=[FIRST, SECOND])
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    first = await scene.leg(1)
    scene.journal.when("caller.join", lambda: first.far_end_refuses(503))
    scene.caller.joining = LegEnded("the other leg is gone")
    first.far_end_offers_audio()
    await scene.journal.until("agent2.dialled")
    scene.caller.joining = None
    scene.line.legs[1].far_end_answers()
    await connecting


async def test_an_attempt_that_cannot_be_joined_fails() -> None:
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    scene.caller.joining = LegEnded("no port is free")
    leg.far_end_answers()
    with pytest.raises(AgentUnavailable, match="SIP 500"):
        await connecting
    await _until_hung_up(leg)


@pytest.mark.parametrize("uris", [[FIRST], [FIRST, SECOND]])
async def test_the_error_of_an_unreachable_agent_names_no_number(uris: list[str]) -> None:
    scene = Scene(uri=uris)
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    for number, status in zip(range(1, len(uris) + 1), (404, 486), strict=False):
        (await scene.leg(number)).far_end_refuses(status)
    with pytest.raises(AgentUnavailable) as caught:
        await connecting
    message = str(caught.value)
    assert f"{len(uris)} URIs answered; the last one: SIP {404 if len(uris) == 1 else 486}" in message
    assert "one@" not in message


async def test_a_timeout_counts_as_408() -> None:
    scene = Scene(answer_timeout_seconds=0.01)
    with pytest.raises(AgentUnavailable, match="SIP 408"):
        await scene.agent.connect(IDENTITY, scene.caller)
    await _until_hung_up(*scene.line.legs)


# ------------------------------------------------------------ the caller goes


async def _connect_while_there(scene: Scene) -> None:
    async with interrupt_on(scene.caller.ended, LegEnded("the caller has hung up")):
        await scene.agent.connect(IDENTITY, scene.caller)


async def test_no_agent_is_dialled_after_the_caller_hangs_up() -> None:
    scene = Scene()
    scene.journal.hold("caller.ring")
    connecting = asyncio.create_task(_connect_while_there(scene))
    await scene.journal.until("caller.ring")
    scene.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    assert scene.line.invites == []


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
    scene = Scene()
    scene.journal.hold(step)
    connecting = asyncio.create_task(_connect_while_there(scene))
    leg = await scene.leg()
    does(leg)
    await scene.journal.until(step)
    scene.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    await _until_hung_up(leg)


async def test_an_unanswered_agent_is_released_when_the_caller_hangs_up() -> None:
    scene = Scene()
    connecting = asyncio.create_task(_connect_while_there(scene))
    leg = await scene.leg()
    scene.caller.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await connecting
    await _until_hung_up(leg)
    assert leg.hang_ups == [200]


async def test_an_unusable_answer_fails_the_attempt() -> None:
    scene = Scene(uri=["sip:bot@127.0.0.1:5090", "sip:spare@127.0.0.1:5091"])
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    first = await scene.leg()
    # PJSUA accepts the 2xx and hangs up, because its codec was not offered.
    first.far_end_answers()
    first.stack_hangs_up(415)
    second = await scene.leg(2)
    second.far_end_answers()
    await soon(connecting)


async def test_a_refer_before_a_failed_answer_gets_its_notify() -> None:
    scene = Scene()
    connecting = asyncio.create_task(scene.agent.connect(IDENTITY, scene.caller))
    leg = await scene.leg()
    assert leg.far_end_refers("<sip:sales@127.0.0.1>") == 202
    leg.far_end_refuses(486)
    with pytest.raises(AgentUnavailable):
        await connecting
    assert leg.notified == [(487, "Request Terminated")]
