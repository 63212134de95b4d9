"""The share of the event loop that an agent's socket may use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sipbridge.agents.websocket.budget import (
    BURST_SECONDS,
    FLOOD_SECONDS,
    PAUSE_SECONDS,
    READ_BYTES,
    READ_SECONDS,
    ROUGH_SECONDS,
    SHARE,
    Budget,
)


class Reader(asyncio.BufferedProtocol):
    """A protocol that takes some processor time for each read."""

    def __init__(self) -> None:
        self.memory = bytearray(100_000)
        self.reads: list[int] = []
        self.takes = 0.0
        self.waits = 0.0
        self.processor = 0.0
        self.wall = 0.0
        self.lost = False

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint
        return self.memory

    def buffer_updated(self, nbytes: int) -> None:
        self.reads.append(nbytes)
        self.processor += self.takes
        self.wall += self.takes + self.waits

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.lost = True


class Pipe(asyncio.Transport):
    """A transport that can be paused."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = reader
        self.reading = True
        self.resumed = asyncio.Event()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.resumed.set()


class Socket:
    """A budget between a transport and a protocol, with its own clock."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.pipe = Pipe(self.reader)
        self.now = 0.0
        self.deaf = False
        self.floods = 0
        self.processor_readings = 0
        self.budget = Budget(
            self.pipe,
            self._flooded,
            lambda: self.deaf,
            clock=lambda: self.now,
            processor_clock=self._read_processor_clock,
            wall_clock=lambda: self.reader.wall,
        )

    def _read_processor_clock(self) -> float:
        self.processor_readings += 1
        return self.reader.processor

    def _flooded(self) -> None:
        self.floods += 1

    def read(self, takes: float, waits: float = 0.0) -> None:
        """Read for that much processor time; `waits` is the time for which other programs run meanwhile."""
        self.reader.takes, self.reader.waits = takes, waits
        self.budget.buffer_updated(100)

    def leave_rough(self) -> None:
        """Use so much that the processor clock counts from now on."""
        self.read(ROUGH_SECONDS)


@pytest.fixture
async def socket() -> Socket:
    return Socket()


@pytest.fixture
async def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lengths of the pauses, without waiting."""
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        asked.append(delay)
        return later(0, callback)

    monkeypatch.setattr(loop, "call_later", call_later)
    return asked


async def test_an_agent_in_real_time_is_never_paused(socket: Socket) -> None:
    for _ in range(5000):
        socket.now += 0.02
        socket.read(50e-6)
        assert socket.pipe.reading
    assert not socket.budget.is_over


async def test_a_burst_is_read_at_once(socket: Socket) -> None:
    for _ in range(1000):
        socket.read(30e-6)
    assert socket.pipe.reading


async def test_reading_pauses_beyond_the_share_until_the_budget_recovers(socket: Socket, pauses: list[float]) -> None:
    socket.leave_rough()
    socket.read(BURST_SECONDS + 0.01)
    assert not socket.pipe.reading
    assert socket.budget.is_over
    await socket.pipe.resumed.wait()
    assert pauses == [pytest.approx(PAUSE_SECONDS + (0.01 + ROUGH_SECONDS + 2 * READ_SECONDS) / SHARE)]


async def test_a_read_during_which_other_programs_run_does_not_count_for_longer_than_it_takes(socket: Socket) -> None:
    for _ in range(100):
        socket.read(20e-6, waits=1.0)
        assert socket.pipe.reading
    assert not socket.budget.is_over


async def test_the_processor_clock_is_not_read_for_an_agent_in_real_time(socket: Socket) -> None:
    for _ in range(100):
        socket.now += 0.02
        socket.read(50e-6)
    assert socket.processor_readings == 0
    socket.leave_rough()
    socket.read(50e-6)
    assert socket.processor_readings == 2


async def test_the_cost_of_a_read_counts_for_a_single_byte_too(socket: Socket) -> None:
    reads = 0
    while socket.pipe.reading:
        socket.read(0)
        reads += 1
    assert reads == pytest.approx(BURST_SECONDS / READ_SECONDS, abs=2)


async def test_a_read_is_short_for_any_buffer_of_the_protocol(socket: Socket) -> None:
    assert len(socket.budget.get_buffer(65_536)) == READ_BYTES


async def test_data_after_a_fault_is_discarded(socket: Socket) -> None:
    socket.deaf = True
    memory = socket.budget.get_buffer(65_536)
    assert memory is socket.budget.get_buffer(65_536)
    socket.budget.buffer_updated(len(memory))
    assert socket.reader.reads == []


@pytest.mark.usefixtures("pauses")
async def test_a_flood_is_reported_once(socket: Socket) -> None:
    socket.leave_rough()
    for _ in range(10):
        socket.read(1.0)
        socket.now += FLOOD_SECONDS / 4
        await socket.pipe.resumed.wait()
        socket.pipe.resumed.clear()
    assert socket.floods == 1


@pytest.mark.usefixtures("pauses")
async def test_separate_bursts_are_not_a_flood(socket: Socket) -> None:
    for _ in range(3):
        socket.leave_rough()
        socket.read(BURST_SECONDS)
        await socket.pipe.resumed.wait()
        socket.pipe.resumed.clear()
        socket.now += FLOOD_SECONDS + BURST_SECONDS / SHARE
        socket.read(0)
        assert not socket.budget.is_over
    assert socket.floods == 0


class OtherSource:
    """A source of data besides the transport."""

    def __init__(self) -> None:
        self.reading = False
        self.resumed = asyncio.Event()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.resumed.set()


async def test_one_source_is_read_at_a_time(socket: Socket) -> None:
    source = OtherSource()
    socket.budget.read_from(source)
    assert (socket.pipe.reading, source.reading) == (False, True)
    socket.budget.read_from(None)
    assert (socket.pipe.reading, source.reading) == (True, False)


async def test_data_of_another_source_is_read_in_order_and_in_short_reads(socket: Socket) -> None:
    socket.budget.receive(b"a" * READ_BYTES + b"b")
    assert socket.reader.reads == [READ_BYTES, 1]
    assert socket.reader.memory[:2] == b"ba"


@pytest.mark.usefixtures("pauses")
async def test_another_source_is_paused_and_resumed(socket: Socket) -> None:
    source = OtherSource()
    socket.budget.read_from(source)
    source.resumed.clear()
    socket.leave_rough()
    socket.read(BURST_SECONDS)
    assert (socket.pipe.reading, source.reading) == (False, False)
    await source.resumed.wait()
    assert (socket.pipe.reading, source.reading) == (False, True)


@pytest.mark.usefixtures("pauses")
async def test_a_source_that_follows_a_paused_one_is_resumed_with_the_budget(socket: Socket) -> None:
    source = OtherSource()
    socket.leave_rough()
    socket.read(BURST_SECONDS)
    socket.budget.read_from(source)
    assert (socket.pipe.reading, source.reading) == (False, False)
    await source.resumed.wait()
    assert (socket.pipe.reading, source.reading) == (False, True)


async def test_a_lost_connection_is_not_resumed(socket: Socket) -> None:
    socket.leave_rough()
    socket.read(BURST_SECONDS)
    socket.budget.connection_lost(None)
    assert socket.reader.lost
    await asyncio.sleep(0)
    assert not socket.pipe.reading
