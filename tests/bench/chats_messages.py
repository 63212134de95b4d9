"""The phases of messages: chats that are held, and messages that are relayed at a rate."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.harness.usage import rss_mb

from .chat_load import Bot, Webhook
from .chats_arrivals import Arrivals
from .chats_report import Rate, Report
from .chats_usage import Usage

STARTS_PER_SECOND = 50
SETTLE_SECONDS = 3.0
IDLE_SECONDS = 10.0
LAST_SECONDS = 30.0  # for the last messages to arrive


class Messages:
    """The messages of one run, numbered from 0 across all chats; the first of `pids` is the bridge's process."""

    def __init__(self, pids: Sequence[int], webhook: Webhook, bot: Bot, chats: int) -> None:
        self._pids = pids
        self._webhook = webhook
        self._bot = bot
        self._chats = [f"c{number}" for number in range(chats)]
        self._next = 0
        self._sent: list[tuple[Rate, range]] = []

    async def hold(self, report: Report) -> None:
        """Start all chats, wait until a human agent has joined each, and measure the bridge that holds them."""
        sys.stderr.write(f"{len(self._chats)} chats …\n")
        await asyncio.sleep(SETTLE_SECONDS)
        report.mb_at_rest = rss_mb(self._pids[0])
        await _at_rate(STARTS_PER_SECOND, len(self._chats), lambda number: self._bot.start(self._chats[number]))
        await _until(lambda: self._webhook.count(b"agent_joined") >= len(self._chats))
        await asyncio.sleep(SETTLE_SECONDS)
        report.kb_per_chat = (rss_mb(self._pids[0]) - report.mb_at_rest) * 1000 / len(self._chats)
        sys.stderr.write(f"no message for {IDLE_SECONDS:g} s …\n")
        before = Usage.now(self._pids)
        await asyncio.sleep(IDLE_SECONDS)
        report.idle = before.cost()

    async def relay(self, per_second: int, seconds: int, pids: Sequence[int] = ()) -> Rate:
        """Send messages so that this many per second are relayed, both ways together; `judge` adds their fate.

        `pids` are the benchmark's programs, if there are more than at first.
        """
        sys.stderr.write(f"{per_second} messages per second …\n")
        count = per_second * seconds // 2
        numbers = range(self._next, self._next + count)
        self._next += count
        before = Usage.now(pids or self._pids)
        await _at_rate(per_second / 2, count, lambda position: self._say(numbers[position]))
        await _until(lambda: self._webhook.count(b"agent_message") >= self._next)
        rate = Rate(per_second, 2 * count, before.cost())
        self._sent.append((rate, numbers))
        return rate

    def judge(self, arrivals: Arrivals) -> None:
        """Add to each rate the fate of its messages."""
        for rate, numbers in self._sent:
            arrivals.judge(rate, numbers)

    async def _say(self, number: int) -> None:
        await self._bot.say(self._chats[number % len(self._chats)], number)


async def _at_rate(per_second: float, count: int, act: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Start an act at each of evenly spread moments, and wait for all of them."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
            tasks.create_task(act(number))


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for a limited time: what does not arrive is counted as lost."""
    deadline = asyncio.get_running_loop().time() + LAST_SECONDS
    while not condition() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 (as above)
        await asyncio.sleep(0.2)
