"""The browsers of human agents, which view pages and keep the streams of open ones, and the agent that adds turns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

import aiohttp

_HTML = {"Accept": "text/html"}
_TURNS = 12  # of each call before it is viewed
_TEXT = "I would like to have my money back, and not another lamp."


class Pages:
    """The pages of some calls. `received` counts the updates of all open pages."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], turns: Sequence[str]) -> None:
        self.received = 0
        self._session = session
        self._urls = urls
        self._turns = turns

    @classmethod
    @asynccontextmanager
    async def of(cls, links: Sequence[str], bridge: str, project: str, key: str) -> AsyncIterator[Self]:
        """Use the calls that the links name, of one project; each gets a transcript."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(bridge, connector=connector, timeout=timeout) as session:
            async with session.get(f"{project}/calls?limit=200", headers={"x-api-key": key}) as response:
                calls = (await response.json())["calls"]
            turns = [f"{project}/calls/{call['id']}/turns" for call in calls if call["state"] == "handing_off"]
            pages = cls(session, [urlsplit(link).path for link in links], turns)
            session.headers["x-api-key"] = key
            for number in range(_TURNS):
                await asyncio.gather(*(pages._add_turn(each, number) for each in turns))
            yield pages

    async def view(self, count: int) -> None:
        """View pages, one after another."""
        for url in itertools.islice(itertools.cycle(self._urls), count):
            async with self._session.get(url, headers=_HTML) as response:
                response.raise_for_status()
                await response.read()

    @asynccontextmanager
    async def opened(self, count: int, per_second: float) -> AsyncIterator[None]:
        """View this many pages, evenly at this rate, and keep their streams open. An infinite rate is all at once."""
        async with asyncio.TaskGroup() as tasks:
            opened = [asyncio.Event() for _ in range(count)]
            readers = []
            for url, event in zip(itertools.cycle(self._urls), opened, strict=False):
                readers.append(tasks.create_task(self._read(url, event)))
                if pause := 1 / per_second:
                    await asyncio.sleep(pause)
            for event in opened:
                await event.wait()
            yield
            for reader in readers:
                reader.cancel()

    async def add_turns(self, per_second: float, seconds: float) -> None:
        """Add turns to the calls in turn, evenly over this time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, url in enumerate(itertools.islice(itertools.cycle(self._turns), round(per_second * seconds))):
            await asyncio.sleep(began + number / per_second - loop.time())
            await self._add_turn(url, number)
        await asyncio.sleep(began + seconds - loop.time())

    async def _add_turn(self, url: str, number: int) -> None:
        turn = {"role": ("caller", "agent")[number % 2], "text": _TEXT}
        async with self._session.post(url, json=turn) as response:
            response.raise_for_status()

    async def _read(self, url: str, opened: asyncio.Event) -> None:
        async with self._session.get(url, headers=_HTML) as response:
            response.raise_for_status()
            await response.read()
        async with self._session.get(f"{url}/events") as response:
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(b"data: "):
                    if not opened.is_set():
                        opened.set()
                    else:
                        self.received += 1
