"""Agents that are silent."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.errors import AgentLost

from .support import FRAME, Site


async def test_a_silent_agent_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    with pytest.raises(AgentLost, match="silent"):
        await running
    await agent.next("stop")
    assert await agent.closed == 1000
    assert site.server.attempts == 1


@pytest.mark.parametrize("event", ["clear", "an event of its own"])
async def test_a_message_ends_the_silence(site: Site, event: str) -> None:
    loop = asyncio.get_running_loop()
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.5)
    await asyncio.wait([running], timeout=0.1)
    said_at = loop.time()
    agent.send_event(event)
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert loop.time() - said_at >= 0.5


async def test_an_unusable_message_does_not_end_the_silence(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.1)
    while not running.done():
        agent.send({"event": "clear", "streamSid": "of another stream"})
        await asyncio.wait([running], timeout=0.01)
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_whose_audio_is_playing_is_not_silent(site: Site) -> None:
    loop = asyncio.get_running_loop()
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    said_at = loop.time()
    agent.send_audio(b"a" * 1600)  # 0.2 s
    await agent.settle()
    while not running.done():
        site.audio.turn()
        await asyncio.wait([running], timeout=0.02)
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert loop.time() - said_at >= 0.25


async def test_an_agent_with_audio_queued_during_a_hold_is_not_silent(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    agent.send_audio(FRAME)
    await agent.settle()
    await asyncio.wait([running], timeout=0.2)
    assert not running.done()
    site.audio.turn()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_without_a_silence_timeout_an_agent_may_be_silent(site: Site) -> None:
    _, running, _ = await site.start_stream(silence_timeout_seconds=None)
    await asyncio.wait([running], timeout=0.1)
    assert not running.done()
