"""`make kills-chat`: kill the bridge while chats relay both ways, again and again, and check every message.

There are always as many chats, of each kind of channel as many as of the others. Each relays some messages and is ended
by the bot, the customer or the human agent, in turn; then it is compared with the desk, and another one starts. CXone
responds slowly and cuts connections, so that a kill (SIGKILL) meets messages on their way.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import bridge_settings, client_settings, key
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for

from .chat_bot import WEBHOOK_SECRET, Bot, BotChat, BotError
from .chat_channels import KINDS, OWN_FAULTS, Fault, all_kinds_project, disturb, kind_of, mixed, prepare
from .chat_checks import ChatError, check_messages
from .chat_talk import ENDED_BY, converse
from .kills import KilledBridge

CLIENT, PROJECT = "acme", "support"
CHATS = 50
MESSAGES = 12  # of the bot, per chat; the human agent repeats each, and sends some of its own
PAUSE_SECONDS = 0.6  # between two of them, on average
ACKNOWLEDGE_SECONDS = 0.05
LONGEST_RUN_SECONDS = 2.0  # of the bridge, between its start and a kill
LAST_SECONDS = 120.0  # for the chats to end after the last kill
REPORT_EVERY = 10
GATEWAY_FAULTS: tuple[Fault, ...] = (
    ("event", {"type": "SendMessage", "drop": "before_record"}),
    ("event", {"type": "SendMessage", "drop": "before_ack"}),
    ("event", {"type": "SendMessage", "drop": "after_ack"}),
    ("event", {"type": "ReconnectConsumer", "error": "ConsumerReconnectionFailed"}),
    ("frame", {"type": "MessageCreated", "duplicates": 2}),
    ("connect", {"reset": True}),
)
FAULTS = {"dfo": GATEWAY_FAULTS, **OWN_FAULTS}


@dataclass
class Tally:
    """The results so far."""

    kills: int = 0
    messages: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        ended = ", ".join(f"{count} by {by}" for by, count in sorted(self.ended.items()))
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.kills} kills survived; {self.ended.total()} chats ended ({ended}; {kinds}); "
            f"{self.messages} messages relayed, none lost, doubled or overtaken; "
            f"reported as unknown (patron): {self.unknown['messages']} messages, {self.unknown['starts']} starts"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the bridge this many times; exit with 1 at the first message or chat that is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills_chat", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--chats", type=int, default=CHATS, help="number of chats at any moment")
    parser.add_argument("--channels", type=_kinds, default=KINDS, help="kinds of channels, like dfo,byoc")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    allow_many_sockets()
    write = sys.stdout.write
    with tempfile.TemporaryDirectory(prefix="sipbridge-kills-") as name:
        try:
            tally = run_kills(
                Path(name), options.kills, options.chats, options.seed, report=write, kinds=options.channels
            )
        except (BotError, ChatError) as error:
            write(f"FAILED: {error}\n" + "".join(_explain(error, Path(name))))
            return 1
    write(f"{tally}\n")
    return 0


def _kinds(value: str) -> tuple[str, ...]:
    kinds = tuple(value.split(","))
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; use some of {','.join(KINDS)}")
    return kinds


def _explain(error: Exception, folder: Path) -> Iterator[str]:
    """Yield what the bridges logged about the chat that an error names, and their internal errors."""
    named = re.search(r"s\d+-\d{3}-\d{3}", str(error))
    words = ('"internal_error"', f'"{named[0]}"') if named else ('"internal_error"',)
    for log in sorted(folder.glob("bridge-*.log"), key=lambda file: file.stat().st_mtime):
        for line in log.read_text().splitlines():
            if any(word in line for word in words) and '"chat_message"' not in line:
                yield f"{log.name}: {line}\n"


def run_kills(
    folder: Path,
    kills: int,
    chats: int,
    seed: int,
    report: Callable[[str], object],
    kinds: Sequence[str] = KINDS,
) -> Tally:
    """Run this many rounds. Raises `ChatError` or `BotError`."""
    with simulator(folder) as cxone:
        cxone.desk.fail("frame", type="Acknowledged", latency_seconds=ACKNOWLEDGE_SECONDS, times=None)
        # The same text again and again: a bring-your-own channel has nothing else to know a message by.
        cxone.desk.automate(kind="byoc", reply="{number} {text}", repeat="ok", repeat_seconds=5)
        cxone.desk.automate(reply="{number} {text}", repeat="{number}", repeat_seconds=2)
        return asyncio.run(_Run(folder, cxone, seed, kinds).kill(kills, chats, report))


class _Run:
    """One run: the bot, and the bridge that is killed."""

    def __init__(self, folder: Path, cxone: Simulator, seed: int, kinds: Sequence[str]) -> None:
        self._folder = folder
        self._cxone = cxone
        self._seed = seed
        self._kinds = kinds
        self._channels = mixed(kinds)
        self._chance = random.Random(seed)  # noqa: S311 (no secret)
        self._tally = Tally()
        self._is_last = False
        self._open: dict[int, BotChat] = {}

    async def kill(self, kills: int, chats: int, report: Callable[[str], object]) -> Tally:
        async with Bot(key(PROJECT)) as self._bot:
            with KilledBridge(self._folder, self._write_config()) as target:
                await asyncio.to_thread(target.start)
                self._bot.url = target.bridge.project(CLIENT, PROJECT, key(PROJECT)).url
                prepare(self._cxone.desk, self._bot.url)
                try:
                    await self._relay_and_kill(target, kills, chats, report)
                except ExceptionGroup as failed:
                    raise failed.exceptions[0] from failed
                await asyncio.to_thread(_check_that_nothing_is_left, target, self._cxone)
        return self._tally

    async def _relay_and_kill(
        self, target: KilledBridge, kills: int, chats: int, report: Callable[[str], object]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            filled = [group.create_task(self._fill(slot)) for slot in range(chats)]
            await self._kill_repeatedly(target, kills, report)
            self._is_last = True
            _, stuck = await asyncio.wait(filled, timeout=LAST_SECONDS)
            if stuck:
                raise BotError("not over: " + ", ".join(map(str, self._open.values())))

    async def _kill_repeatedly(self, target: KilledBridge, kills: int, report: Callable[[str], object]) -> None:
        for _ in range(kills):
            kind = self._chance.choice(self._kinds)
            await asyncio.to_thread(disturb, self._cxone, kind, self._chance.choice(FAULTS[kind]))
            # The moment itself is the test: there is no event to wait for.
            await asyncio.sleep(self._chance.uniform(0.0, LONGEST_RUN_SECONDS))
            await asyncio.to_thread(target.kill)
            await asyncio.to_thread(target.start)
            self._tally.kills += 1
            if self._tally.kills % REPORT_EVERY == 0:
                report(f"{self._tally}\n")

    async def _fill(self, slot: int) -> None:
        """Run one chat after the other."""
        await asyncio.sleep(self._chance.uniform(0, MESSAGES * PAUSE_SECONDS))
        number = 0
        while not self._is_last or number == 0:
            number += 1
            ended_by = ENDED_BY[(slot + number) % 3]
            channel = self._channels[(slot // 3 + number) % len(self._channels)]
            chat = BotChat(f"s{self._seed}-{slot:03}-{number:03}", channel)
            self._open[slot] = chat
            await converse(self._bot, self._cxone.desk, chat, ended_by, MESSAGES, PAUSE_SECONDS, self._chance)
            del self._open[slot]
            if chat.start_is_unknown:
                self._tally.unknown["starts"] += 1
                continue
            relayed = await asyncio.to_thread(check_messages, chat, self._cxone.desk, ended_by=ended_by)
            self._tally.messages += relayed
            self._tally.ended[ended_by] += 1
            self._tally.kinds[kind_of(channel)] += 1
            self._tally.unknown["messages"] += list(chat.fates.values()).count("unknown")

    def _write_config(self) -> Path:
        webhook = {"url": self._bot.webhook_url, "secret": WEBHOOK_SECRET}
        # No time limit of a chat may pass, however slow the machine is.
        limits = {"queue_timeout_seconds": None, "inactivity_seconds": None, "inactivity_warning_seconds": None}
        project = all_kinds_project(PROJECT, self._cxone.url, webhook=webhook, **limits)
        settings = bridge_settings(
            self._folder, {CLIENT: client_settings("+19995550001", self._cxone.url, {PROJECT: project})}
        )
        url = f"127.0.0.1:{reserved_port()}"  # the same after each start
        settings["http"] |= {"listen": url, "public_url": f"http://{url}"}
        file = self._folder / "target.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file


def _check_that_nothing_is_left(target: KilledBridge, cxone: Simulator) -> None:
    target.bridge.wait_for_metric(0, "sipbridge_chats_active")
    wait_for(lambda: not cxone.desk.connections(), "the last connection to the chat gateway to close")


if __name__ == "__main__":
    sys.exit(main())
