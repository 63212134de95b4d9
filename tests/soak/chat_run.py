"""Chats that relay both ways while bridges die under them: always as many, each compared with the desk at its end.

Of each kind of channel there are as many chats as of the others. Each relays some messages and is ended by the bot, the
customer or the human agent, in turn; then another one starts. CXone responds slowly and cuts connections, so that a
harm meets messages on their way.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, bridge_settings, client_settings, key

from .chat_bot import WEBHOOK_SECRET, Bot, BotChat, BotError
from .chat_channels import KINDS, OWN_FAULTS, Fault, all_kinds_project, disturb, kind_of, mixed
from .chat_checks import ChatError, check_messages
from .chat_talk import ENDED_BY, converse

CLIENT, PROJECT = "acme", "support"
MESSAGES = 12  # of the bot, per chat; the human agent repeats each, and sends some of its own
PAUSE_SECONDS = 0.6  # between two of them, on average
ACKNOWLEDGE_SECONDS = 0.05
LAST_SECONDS = 120.0  # for the chats to end after the last harm
LONGEST_SECONDS = 300.0  # of a chat: one that misses a message would never end
_GATEWAY_FAULTS: tuple[Fault, ...] = (
    ("event", {"type": "SendMessage", "drop": "before_record"}),
    ("event", {"type": "SendMessage", "drop": "before_ack"}),
    ("event", {"type": "SendMessage", "drop": "after_ack"}),
    ("event", {"type": "ReconnectConsumer", "error": "ConsumerReconnectionFailed"}),
    ("frame", {"type": "MessageCreated", "duplicates": 2}),
    ("connect", {"reset": True}),
)
_FAULTS = {"dfo": _GATEWAY_FAULTS, **OWN_FAULTS}


@dataclass
class Tally:
    """The results so far. `harms` are what the bridges survived; `faults` say what is wrong with which chat."""

    harms: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        fate = f"{len(self.faults)} chats at fault" if self.faults else "none lost, doubled or overtaken"
        return (
            f"{_listed(self.harms)} survived; {self.ended.total()} chats ended "
            f"({_listed(self.ended, 'by ')}; {_listed(self.kinds)}); "
            f"{self.messages} messages relayed, {fate}; "
            f"reported as unknown (patron): {self.unknown['messages']} messages, {self.unknown['starts']} starts"
        )


def _listed(counts: Counter[str], before: str = "") -> str:
    return ", ".join(f"{count} {before}{name}" for name, count in sorted(counts.items())) or "nothing"


class ChatRun:
    """One run: the bot, its chats, and what they came to."""

    def __init__(
        self, cxone: Simulator, seed: int, kinds: Sequence[str], *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self.cxone = cxone
        self.chance = random.Random(seed)  # noqa: S311 (no secret)
        self.tally = Tally()
        self.bot = Bot(key(PROJECT))
        self._seed = seed
        self._pause_seconds = pause_seconds
        self._kinds = kinds
        self._channels = mixed(kinds)
        self._is_last = False
        self._open: dict[int, BotChat] = {}
        cxone.desk.fail("frame", type="Acknowledged", latency_seconds=ACKNOWLEDGE_SECONDS, times=None)
        # The same text again and again: a bring-your-own channel has nothing else to know a message by.
        cxone.desk.automate(kind="byoc", reply="{number} {text}", repeat="ok", repeat_seconds=5)
        cxone.desk.automate(reply="{number} {text}", repeat="{number}", repeat_seconds=2)

    async def talk(self, chats: int, harming: Coroutine[None, None, None]) -> None:
        """Run so many chats at any moment while the bridges are harmed, and until the last of them is over.

        A chat that is not as it should be is a fault of the tally, and is followed by another like any chat. It
        raises what `harming` raises.
        """
        try:
            async with asyncio.TaskGroup() as group:
                filled = [group.create_task(self._fill(slot)) for slot in range(chats)]
                await harming
                self._is_last = True
                _, stuck = await asyncio.wait(filled, timeout=LAST_SECONDS)
                self.tally.faults += [f"not over: {chat}" for chat in self._open.values()]
                for task in stuck:
                    task.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    def check(self) -> None:
        """Raise `ChatError` if a chat is not as it should be."""
        if self.tally.faults:
            raise ChatError("\n".join(self.tally.faults))

    async def disturb(self) -> None:
        """Cause a fault of CXone."""
        kind = self.chance.choice(self._kinds)
        await asyncio.to_thread(disturb, self.cxone, kind, self.chance.choice(_FAULTS[kind]))

    async def _fill(self, slot: int) -> None:
        """Run one chat after the other."""
        await asyncio.sleep(self.chance.uniform(0, MESSAGES * self._pause_seconds))
        number = 0
        while not self._is_last or number == 0:
            number += 1
            ended_by = ENDED_BY[(slot + number) % 3]
            channel = self._channels[(slot // 3 + number) % len(self._channels)]
            chat = BotChat(f"s{self._seed}-{slot:03}-{number:03}", channel)
            self._open[slot] = chat
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._hold(chat, ended_by)
            except TimeoutError:
                self.tally.faults.append(f"not over after {LONGEST_SECONDS:g} s: {chat}")
            except (BotError, ChatError, ValueError) as error:  # the last is the desk's
                self.tally.faults.append(str(error) if chat.id in str(error) else f"chat {chat.id}: {error}")
                await asyncio.sleep(self._pause_seconds)  # the next one may meet the same fault at once
            del self._open[slot]

    async def _hold(self, chat: BotChat, ended_by: str) -> None:
        """Run one chat, and count it. Raises what is wrong with it."""
        await converse(self.bot, self.cxone.desk, chat, ended_by, MESSAGES, self._pause_seconds, self.chance)
        if chat.start_is_unknown:
            self.tally.unknown["starts"] += 1
            return
        relayed = await asyncio.to_thread(check_messages, chat, self.cxone.desk, ended_by=ended_by)
        self.tally.messages += relayed
        self.tally.ended[ended_by] += 1
        self.tally.kinds[kind_of(chat.channel)] += 1
        self.tally.unknown["messages"] += list(chat.fates.values()).count("unknown")

    def settings(self, folder: Path) -> Settings:
        """Return the settings of a bridge for the chats."""
        projects = {PROJECT: self.project()}
        return bridge_settings(folder, {CLIENT: client_settings("+19995550001", self.cxone.url, projects)})

    def project(self) -> Settings:
        """Return the settings of the project of the chats."""
        webhook = {"url": self.bot.webhook_url, "secret": WEBHOOK_SECRET}
        # No time limit of a chat may pass, however slow the machine is.
        limits = {"queue_timeout_seconds": None, "inactivity_seconds": None, "inactivity_warning_seconds": None}
        return all_kinds_project(PROJECT, self.cxone.url, webhook=webhook, **limits)


def kinds_of(value: str) -> tuple[str, ...]:
    """Return the kinds of channels in a list with commas. Raises `ArgumentTypeError`."""
    kinds = tuple(value.split(","))
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; use some of {','.join(KINDS)}")
    return kinds


def explain(error: Exception, folder: Path) -> Iterator[str]:
    """Yield what the bridges logged about the chat that an error names, and their internal errors."""
    named = re.search(r"s\d+-\d{3}-\d{3}", str(error))
    words = ('"internal_error"', f'"{named[0]}"') if named else ('"internal_error"',)
    for log in sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime):
        for line in log.read_text().splitlines():
            if any(word in line for word in words) and '"chat_message"' not in line:
                yield f"{log.name}: {line}\n"


Report = Callable[[str], object]
