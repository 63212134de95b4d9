from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sipbridge.agents.prompt import PromptAgent
from sipbridge.calls.endings import PROMPT_ENDED
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.agents import Agent, Conversation
from sipbridge.config import PromptAgentConfig
from sipbridge.errors import LegEnded
from tests.fakes import FakeLeg, FakeLiveCall, Journal

IDENTITY = Identity("call-1", "sip-id", "acme", "billing", "123", "123", "+15550100", "+19995550001", {})


@pytest.fixture
def greeting(tmp_path: Path) -> Path:
    path = tmp_path / "greeting.wav"
    path.touch()
    return path


@pytest.fixture
async def leg() -> FakeLeg:
    return FakeLeg(Journal())


async def _connect(leg: FakeLeg, **config: object) -> Conversation:
    agent: Agent = PromptAgent(
        PromptAgentConfig.model_validate({"type": "prompt", **config}), "greeting.wav" if "audio" in config else None
    )
    return await agent.connect(IDENTITY, leg)


async def test_it_plays_its_recording_then_hands_off(greeting: Path) -> None:
    journal = Journal()
    leg = FakeLeg(journal)
    end = await (await _connect(leg, audio=greeting, destination="sales", reason="always")).run(FakeLiveCall())
    assert journal.steps == ["caller.play greeting.wav"]
    assert end.handoff is not None
    assert (end.handoff.destination, end.handoff.reason) == ("sales", "always")


async def test_without_a_recording_it_hands_off_at_once(leg: FakeLeg) -> None:
    end = await (await _connect(leg)).run(FakeLiveCall())
    assert end.handoff is not None
    assert (end.handoff.destination, end.handoff.reason) == (None, None)


async def test_it_hangs_up_if_the_project_says_so(leg: FakeLeg, greeting: Path) -> None:
    end = await (await _connect(leg, audio=greeting, then="hangup")).run(FakeLiveCall())
    assert end.handoff is None
    assert end.ending is PROMPT_ENDED


async def test_speaking_finishes_at_the_end_of_the_recording(greeting: Path) -> None:
    journal = Journal()
    let_go = journal.hold("caller.play greeting.wav")
    conversation = await _connect(FakeLeg(journal), audio=greeting)
    running = asyncio.create_task(conversation.run(FakeLiveCall()))
    finishing = asyncio.create_task(conversation.finish_speaking())
    await journal.until("caller.play greeting.wav")
    assert not finishing.done()
    let_go.set()
    await finishing
    await running


@pytest.mark.parametrize("error", [LegEnded("gone"), RuntimeError("no such clip")])
async def test_the_error_of_a_recording_is_raised_and_ends_the_wait_for_it(
    leg: FakeLeg, greeting: Path, error: Exception
) -> None:
    leg.playing = error
    conversation = await _connect(leg, audio=greeting)
    with pytest.raises(type(error)):
        await conversation.run(FakeLiveCall())
    await asyncio.wait_for(conversation.finish_speaking(), 1)


async def test_cancelling_stops_the_recording(greeting: Path) -> None:
    journal = Journal()
    journal.hold("caller.play greeting.wav")
    conversation = await _connect(FakeLeg(journal), audio=greeting)
    running = asyncio.create_task(conversation.run(FakeLiveCall()))
    await journal.until("caller.play greeting.wav")
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert journal.steps[-1] == "caller.stop greeting.wav"
    await conversation.close(None)
