"""The begin and the end of a conversation."""

from __future__ import annotations

import asyncio
import base64

import pytest
from picows import WSMsgType

from sipbridge.agents import presence
from sipbridge.calls.endings import AGENT_ENDED
from sipbridge.errors import AgentLost, LegEnded

from .support import FRAME, Site

# ------------------------------------------------------------ it begins


async def test_the_callers_audio_from_before_the_stream_is_sent_at_its_start(site: Site) -> None:
    early = [bytes([number]) * 160 for number in (1, 2)]
    site.leg.early_audio = early
    _, _, agent = await site.start_stream()
    site.audio.turn(FRAME)
    media = [(await agent.next("media"))["media"] for _ in range(3)]
    assert [base64.b64decode(each["payload"]) for each in media] == [*early, FRAME]
    assert [each["timestamp"] for each in media] == ["0", "20", "40"]


# ------------------------------------------------------------ the agent ends it


async def test_an_agent_that_closes_with_1000_ends_the_conversation(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up(1000)
    end = await running
    assert (end.handoff, end.ending) == (None, AGENT_ENDED)
    assert await agent.closed == 1000
    await talking.close(None)
    assert site.audio.closed


async def test_the_last_words_of_an_agent_that_has_left_are_played(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    agent.hang_up(1000)
    await running
    finishing = asyncio.ensure_future(talking.finish_speaking())
    site.audio.turn()
    await asyncio.sleep(0)
    assert not finishing.done()
    site.audio.turn()
    await finishing
    assert (site.audio.played, site.audio.closed) == (320, True)


async def test_an_agent_that_leaves_while_it_speaks_its_last_words_is_played(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    await agent.settle()
    finishing = asyncio.ensure_future(talking.finish_speaking())
    agent.hang_up(1000)
    await running
    assert not finishing.done()
    site.audio.turn()
    await finishing
    assert site.audio.closed


async def test_an_agent_that_has_left_is_silent_once_its_last_words_are_cut_off(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up(1000)
    await running
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await talking.finish_speaking()
    assert site.audio.closed


async def test_an_agent_that_closes_without_a_code_ends_the_conversation(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up_without_code()
    assert (await running).ending is AGENT_ENDED
    assert site.server.attempts == 1


async def test_an_agent_that_closes_during_ringing_is_lost_at_the_answer(site: Site) -> None:
    talking, agent = await site.connect()
    agent.hang_up(1000)
    await agent.closed
    with pytest.raises(AgentLost):
        await talking.run(site.call)


async def test_an_agent_that_closes_at_once_and_has_sent_nothing_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.hang_up(1000)
    with pytest.raises(AgentLost, match="had sent no audio"):
        await running


@pytest.mark.parametrize(
    ("event", "fields"), [("clear", {}), ("mark", {"mark": {"name": "m"}}), ("media", {"media": {"payload": ""}})]
)
async def test_an_agent_that_closes_at_once_and_has_sent_no_audio_is_lost(
    site: Site, event: str, fields: dict[str, object]
) -> None:
    _, running, agent = await site.start_stream()
    agent.send_event(event, **fields)
    agent.hang_up(1000)
    with pytest.raises(AgentLost, match="no audio"):
        await running


@pytest.mark.parametrize("message", [b'{"event":"handoff","handoff":{"data":NaN}}', b'{"event":"handoff","handoff":7}'])
async def test_an_agent_that_closes_at_once_after_a_refused_handoff_is_not_lost(site: Site, message: bytes) -> None:
    _, running, agent = await site.start_stream()
    agent.transport.send(WSMsgType.TEXT, message)
    agent.hang_up(1000)
    assert (await running).ending is AGENT_ENDED
    assert len(site.call.refusals) == 1


async def test_an_agent_that_stayed_without_sending_audio_may_end_the_conversation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    _, running, agent = await site.start_stream()
    agent.hang_up(1000)
    assert (await running).ending is AGENT_ENDED


# ------------------------------------------------------------ the bridge closes it


async def test_cancelling_sends_stop_and_closes_the_audio(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert site.audio.closed
    stop = await agent.next("stop")
    assert stop["stop"]["callSid"] == f"CA{site.call.record.call_id}"
    assert await agent.closed == 1000
    await talking.close(None)
    await talking.close(None)


async def test_a_conversation_that_never_ran_is_closed_without_a_stop(site: Site) -> None:
    talking, agent = await site.connect()
    await talking.close(None)
    await talking.close(None)
    assert await agent.closed == 1000
    assert agent.unread.empty()


async def test_the_socket_is_closed_if_the_caller_hangs_up_before_the_audio_is_open(site: Site) -> None:
    talking, agent = await site.connect()
    site.leg.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await talking.run(site.call)
    assert await agent.closed == 1000


async def test_speaking_finishes_when_all_audio_was_played(site: Site) -> None:
    talking, _, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    await agent.settle()
    finishing = asyncio.ensure_future(talking.finish_speaking())
    site.audio.turn()
    await agent.settle()
    assert not finishing.done()
    site.audio.turn()
    await finishing


async def test_an_agent_without_audio_has_finished_speaking(site: Site) -> None:
    talking, _ = await site.connect()
    await talking.finish_speaking()
