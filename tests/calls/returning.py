"""Handoffs whose callers the agent gets back."""

from __future__ import annotations

import asyncio

from sipbridge.calls.model import CallRecord
from tests.calls.world import World

TAKE_BACK = {"take_back_seconds": 0.02}
NEVER = {"take_back_seconds": 60}


async def hand_off(world: World, **request: object) -> None:
    """Hand off through the API once the conversation has begun."""
    await world.start_conversation()
    world.request_handoff(**request)


async def take_back(world: World, **request: object) -> None:
    """Hand off, and return when the agent has the caller again."""
    await hand_off(world, **request)
    await world.journal.until("agent.report")


async def hold(world: World) -> None:
    """Hand off, and return when CXone has the Signal and the agent is muted."""
    await hand_off(world)
    await world.journal.until("centre.signal")
    await asyncio.sleep(0)


async def end(world: World) -> CallRecord:
    """Let the agent end the conversation."""
    world.conversation.ends()
    return await world.finish()
