"""A connection pauses while its chat is full, and while the gateway floods."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.cxone.digital.dfo import reading as module
from sipbridge.cxone.digital.dfo.reading import Reading


class Transport(asyncio.Transport):
    """A transport that notes if it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.changes.append("pause")

    def resume_reading(self) -> None:
        self.changes.append("resume")


class World:
    """A reading of its transport, with ten frames per second and two of them at once."""

    def __init__(self) -> None:
        self.floods = 0
        self.transport = Transport()
        self.reading = Reading(self.flood)
        self.reading.start(self.transport)
        self.now = asyncio.get_running_loop().time()

    def flood(self) -> None:
        self.floods += 1

    def frames(self, count: int, size: int = 100) -> None:
        for _ in range(count):
            self.reading.count(size, self.now)

    async def until_it_reads(self) -> None:
        async with asyncio.timeout(5):
            while self.reading.is_paused:  # noqa: ASYNC110 (nothing signals it)
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "FRAMES_PER_SECOND", 100.0)
    monkeypatch.setattr(module, "BURST_SECONDS", 0.095)
    return World()


async def test_frames_within_the_burst_are_read(world: World) -> None:
    world.frames(9)
    assert world.transport.changes == []


async def test_frames_beyond_it_pause_reading_until_the_rate_is_kept(world: World) -> None:
    world.frames(12)
    assert world.transport.changes == ["pause"]
    await world.until_it_reads()
    assert world.transport.changes == ["pause", "resume"]
    assert asyncio.get_running_loop().time() >= world.now + 0.02
    assert world.floods == 1


async def test_long_frame_counts_as_several(world: World) -> None:
    world.frames(1, size=10 * module.FRAME_BYTES)
    assert world.transport.changes == ["pause"]


async def test_flood_is_reported_once(world: World) -> None:
    world.frames(12)
    await world.until_it_reads()
    world.now = asyncio.get_running_loop().time()
    world.frames(12)
    assert world.floods == 1


async def test_full_chat_reads_nothing_though_the_flood_is_over(world: World) -> None:
    world.frames(12)
    world.reading.hold(on=True)
    await asyncio.sleep(0.05)
    assert world.transport.changes == ["pause"]
    world.reading.hold(on=False)
    assert world.transport.changes == ["pause", "resume"]


async def test_flood_goes_on_to_pause_though_the_chat_is_not_full_any_more(world: World) -> None:
    world.reading.hold(on=True)
    world.frames(12)
    world.reading.hold(on=False)
    assert world.transport.changes == ["pause"]
    await world.until_it_reads()
    assert world.transport.changes == ["pause", "resume"]
