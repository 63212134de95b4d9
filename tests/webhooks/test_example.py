"""The receiver in docs/webhooks.md, as it is written there, gets the events of a sender."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipbridge.webhooks import DeliveryResult, Webhook

from .conftest import BOT, SECRET, World, until

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


@pytest.fixture
async def example(world: World, tmp_path: Path) -> AsyncIterator[Process]:
    """Run the example as the receiver of the project."""
    script = tmp_path / "receiver.py"
    script.write_text(PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0])
    environ = os.environ | {"WEBHOOK_SECRET": SECRET.decode()}
    process = await asyncio.create_subprocess_exec(sys.executable, script, "0", stdout=PIPE, stderr=PIPE, env=environ)
    try:
        ready = await next_line(process)
        world.webhooks[BOT] = Webhook(ready.removeprefix("listening on "), SECRET)
        yield process
    finally:
        process.kill()
        await process.wait()


async def next_line(process: Process) -> str:
    assert process.stdout
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


async def test_the_example_prints_each_event_once(world: World, example: Process) -> None:
    chat = await world.chat()
    event = await chat.emit("Grüße <b>")
    await world.until_nothing_waits()
    chat.sequence = 2
    world.publish(chat.record, event.model_copy(update={"sequence": 2}))  # a repeat has the same id
    await chat.emit("bye")
    lines = [await next_line(example) for _ in range(2)]
    assert [line.partition(" ")[0] for line in lines] == ["agent_message", "agent_message"]
    assert [json.loads(line.partition(" ")[2])["text"] for line in lines] == ["Grüße <b>", "bye"]


async def test_the_example_accepts_an_event_once_the_secret_is_right(world: World, example: Process) -> None:
    right = world.webhooks[BOT]
    world.webhooks[BOT] = Webhook(right.url, b"another secret 12")
    await (await world.chat()).emit()
    await until(lambda: DeliveryResult.RETRIED in world.results(), 10)
    world.webhooks[BOT] = right
    assert (await next_line(example)).startswith("agent_message")
