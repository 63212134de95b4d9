"""The readers of event streams, whatever the events are."""

from __future__ import annotations

import asyncio

from sipbridge.web.server.readers import Reader, Readers


async def read(reader: Reader[int]) -> list[int]:
    """Return all events of a stream that ends."""
    async with asyncio.timeout(1):
        return [event async for event in reader]


async def test_each_reader_of_a_stream_gets_its_events_until_the_end() -> None:
    readers = Readers[str, int](10, 3)
    with readers.reader("a") as one, readers.reader("a") as two, readers.reader("b") as other:
        for number in range(3):
            assert readers.send("a", number) == []
        for key in ("a", "b"):
            readers.end(key)
            readers.end(key)
        assert [await read(each) for each in (one, two, other)] == [[0, 1, 2], [0, 1, 2], []]


async def test_a_slow_reader_gets_nothing_more_and_the_others_do() -> None:
    readers = Readers[str, int](2, 3)
    with readers.reader("a") as slow, readers.reader("a") as quick:
        disconnected = []
        for number in range(3):
            disconnected += readers.send("a", number)
            assert await anext(aiter(quick)) == number
        assert disconnected == [slow]
        assert await read(slow) == []
        assert readers.send("a", 3) == []
        readers.end("a")
        assert await read(quick) == [3]


async def test_the_oldest_reader_gives_way_and_a_stream_without_readers_is_forgotten() -> None:
    readers = Readers[str, int](2, 1)
    with readers.reader("a") as old:
        with readers.reader("a"):
            assert await read(old) == []
        assert "a" not in readers
    assert "a" not in readers
    assert readers.send("a", 1) == []


async def test_closing_ends_the_streams_of_now_and_later() -> None:
    readers = Readers[str, int](2, 3)
    with readers.reader("a") as now:
        readers.send("a", 1)
        readers.close()
        with readers.reader("b") as later:
            assert (await read(now), await read(later)) == ([], [])
