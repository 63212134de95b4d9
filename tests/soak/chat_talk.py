"""The course of a chat between a bot and the human agents of the simulator, and a bot whose chats follow it."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.harness.cxone.desk import Desk

from .chat_bot import Bot, BotChat
from .chat_channels import KINDS, PATRON, mixed, prepare
from .chat_checks import check_end, check_events, check_messages

T = TypeVar("T")
ENDED_BY = ("bot", "customer", "agent")
MESSAGES, PAUSE_SECONDS = 4, 0.3
LAST_SECONDS = 90.0


async def converse(
    bot: Bot, desk: Desk, chat: BotChat, ended_by: str, messages: int, pause_seconds: float, chance: random.Random
) -> None:
    """Run a chat: messages of the bot, each repeated by an automatic agent, and an end. Raises `ChatError`.

    Return at once if the start of a patron chat met a kill: then the chat has failed.
    """
    reading = await bot.start(chat)
    if chat.channel == PATRON:
        await chat.until(lambda: chat.is_over or bool(chat.of_type("handoff_accepted")))
        if chat.start_is_unknown:
            return
    for _ in range(messages):
        await asyncio.sleep(chance.uniform(0, 2 * pause_seconds))
        await bot.show_typing(chat)
        await bot.say(chat)
    await chat.until(lambda: len(chat.fates) == messages)
    last = chat.delivered[-1]
    await chat.until(lambda: any(text.endswith(last) for text in chat.received))
    if ended_by == "agent":
        await asyncio.to_thread(_close, desk, chat)
    else:
        await bot.end(chat, ended_by)
    await chat.until(lambda: chat.is_over and chat.is_over_at_webhook)
    await reading
    check_events(chat)
    await asyncio.to_thread(check_end, chat, await bot.get(chat), desk, ended_by=ended_by)


def _close(desk: Desk, chat: BotChat) -> None:
    desk.close(desk.chat(contains=f"[{chat.id}]", seconds=0))


class ChatTraffic:
    """A bot on a thread of its own, whose chats start at a steady rate. `over` are those that have ended.

    The bridge needs `webhook_url` in its configuration. `begin` starts chats, and `end` waits for the last one.
    """

    def __init__(self, key: str, seed: int) -> None:
        self.over: list[BotChat] = []
        self.messages = 0
        self._bot = Bot(key)
        self._chance = random.Random(seed)  # noqa: S311 (no secret)
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat bot", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None

    @property
    def webhook_url(self) -> str:
        """The URL to which the bridge posts events."""
        return self._bot.webhook_url

    def begin(self, project_url: str, desk: Desk, per_second: float) -> None:
        """Start chats from now on."""
        self._bot.url = project_url
        prepare(desk, project_url)
        self._run(self._begin(desk, per_second))

    def end(self) -> None:
        """Start no more chats, and wait for the last one. Raises what failed in one of them."""
        self._run(self._end())

    async def _begin(self, desk: Desk, per_second: float) -> None:
        self._starting = asyncio.create_task(self._start_chats(desk, per_second))

    async def _start_chats(self, desk: Desk, per_second: float) -> None:
        while True:
            self._tasks.add(asyncio.create_task(self._one_chat(desk, next(self._numbers))))
            await asyncio.sleep(1 / per_second)

    async def _one_chat(self, desk: Desk, number: int) -> None:
        channels = mixed(KINDS)
        chat = BotChat(f"soak-{number:06}", channels[number // len(ENDED_BY) % len(channels)])
        ended_by = ENDED_BY[number % len(ENDED_BY)]
        await converse(self._bot, desk, chat, ended_by, MESSAGES, PAUSE_SECONDS, self._chance)
        await asyncio.to_thread(check_messages, chat, desk, ended_by=ended_by)
        self.over.append(chat)

    async def _end(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        async with asyncio.timeout(LAST_SECONDS):
            await asyncio.gather(*self._tasks)
        self._tasks.clear()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LAST_SECONDS + 10)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._bot.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        for task in (*self._tasks, *([self._starting] if self._starting else [])):
            task.cancel()
        await self._bot.__aexit__(None, None, None)
