"""`make bench-chat`: what a relayed message costs, what a held chat takes, and what the bridge adds to the delay.

The simulator, the bot platform and the bridge share the machine. An automatic human agent repeats each message, so
that each message of the bot is two relayed messages, one each way (docs/benchmark.md).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import bridge_settings, client_settings, key
from tests.harness.usage import allow_many_sockets, cpu_ms, rss_mb

from .chat_load import Bot, Webhook
from .chats_report import Rate, Report, print_report, quantile

CLIENT, PROJECT = "bench", "chat"
CHANNEL = "chat_11111111-1111-4111-8111-111111111111"
STARTS_PER_SECOND = 50
SETTLE_SECONDS = 3.0
LAST_SECONDS = 30.0  # for the last messages to arrive


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file. A missed limit is printed, and does not fail the run."""
    options = _options(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-bench-") as name:
        report = asyncio.run(_measure(Path(name), options))
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chats", description="Measure relayed messages.")
    rates = lambda text: [int(rate) for rate in text.split(",")]  # noqa: E731 (argparse wants a callable)
    parser.add_argument("--chats", type=int, default=1000, help="number of held chats")
    parser.add_argument(
        "--rates", type=rates, default=[100, 300, 1000], metavar="N,N", help="relayed messages per second"
    )
    parser.add_argument("--seconds", type=int, default=20, help="duration at each rate")
    parser.add_argument("--output", type=Path, default=Path("build/bench-chat.json"), help="the file for all figures")
    return parser.parse_args(arguments)


async def _measure(folder: Path, options: argparse.Namespace) -> Report:
    """Run the programs, hold the chats, and send messages at each rate."""
    async with Webhook() as webhook:
        with simulator(folder) as cxone, bridge(_settings(folder, cxone, webhook), folder) as program:
            cxone.desk.automate(channel=CHANNEL, accept_after_seconds=0, reply="{text}")
            project = f"{program.http}/v1/{CLIENT}/{PROJECT}"
            async with Bot(project, key(PROJECT)) as bot:
                run = _Run(program, webhook, bot, options)
                await run.hold()
                for rate in options.rates:
                    await run.relay(rate)
                run.check(await asyncio.to_thread(_messages_at_desk, cxone))
    return run.report


def _settings(folder: Path, cxone: Simulator, webhook: Webhook) -> dict[str, Any]:
    gateway = cxone.url.replace("http", "ws", 1)
    channel = {
        "type": "dfo",
        "brand_id": 1234,
        "channel_id": CHANNEL,
        "gateway_url": gateway,
        "rest_url": cxone.url,
        "oauth_url": cxone.url,
    }
    chat = {
        "channels": {"web": channel},
        "inactivity_seconds": None,
        "webhook": {"url": webhook.url, "secret": "secret-of-the-benchmark"},
    }
    client = client_settings("+19995550001", cxone.url, {PROJECT: {"api_keys": [key(PROJECT)], "chat": chat}})
    return bridge_settings(folder, {CLIENT: client})


def _messages_at_desk(cxone: Simulator) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of each conversation."""
    chats = cxone.desk.chats(seconds=0)
    return {chat["id"]: cxone.desk.messages(chat["id"], seconds=0) for chat in chats}


class _Run:
    """The phases of one run. Messages are numbered from 0 across all chats."""

    def __init__(self, program: Bridge, webhook: Webhook, bot: Bot, options: argparse.Namespace) -> None:
        self._pid = program.program.pid
        self._webhook = webhook
        self._bot = bot
        self._options = options
        self._chats = [f"c{number}" for number in range(options.chats)]
        self._next = 0
        self._ranges: list[tuple[int, int]] = []
        self.report = Report(cores=os.cpu_count() or 0, chats=options.chats, seconds=options.seconds)

    async def hold(self) -> None:
        """Start all chats, and wait until a human agent has joined each."""
        sys.stderr.write(f"{len(self._chats)} chats held\n")
        await asyncio.sleep(SETTLE_SECONDS)
        self.report.mb_at_rest = rss_mb(self._pid)
        await self._at_rate(STARTS_PER_SECOND, len(self._chats), lambda number: self._bot.start(self._chats[number]))
        await self._until(lambda: self._webhook.count(b"agent_joined") >= len(self._chats))
        await asyncio.sleep(SETTLE_SECONDS)
        self.report.kb_per_chat = (rss_mb(self._pid) - self.report.mb_at_rest) * 1000 / len(self._chats)

    async def relay(self, rate: int) -> None:
        """Send messages so that this many per second are relayed, both ways together."""
        sys.stderr.write(f"{rate} messages per second\n")
        count = rate * self._options.seconds // 2
        first = self._next
        self._next += count
        before, began = cpu_ms(self._pid), asyncio.get_running_loop().time()
        await self._at_rate(rate / 2, count, lambda number: self._say(first + number))
        await self._until(lambda: self._webhook.count(b"agent_message") >= self._next)
        seconds = asyncio.get_running_loop().time() - began
        spent = cpu_ms(self._pid) - before
        self._ranges.append((first, self._next))
        self.report.rates.append(Rate(rate, 2 * count, spent / (2 * count), spent / seconds / 10))

    async def _say(self, number: int) -> None:
        await self._bot.say(self._chats[number % len(self._chats)], number)

    async def _at_rate(self, per_second: float, count: int, act: Any) -> None:  # noqa: ANN401 (a coroutine function)
        """Start an act at each of evenly spread moments, and wait for all of them."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
                tasks.create_task(act(number))

    async def _until(self, condition: Any) -> None:  # noqa: ANN401 (a function)
        """Wait for a condition, for a limited time: what does not arrive is counted as lost."""
        deadline = asyncio.get_running_loop().time() + LAST_SECONDS
        while not condition() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.2)

    def check(self, at_desk: dict[str, list[dict[str, Any]]]) -> None:
        """Compare what was sent with what arrived on both sides, and find the delays."""
        to_agent: defaultdict[int, list[float]] = defaultdict(list)
        sent_back: dict[str, float] = {}
        for messages in at_desk.values():
            for message in messages:
                at = datetime.fromisoformat(message["at"]).timestamp()
                if message["direction"] == "outbound":
                    sent_back[message["id"].lower()] = at
                elif message["text"][:1].isdigit():
                    number, sent_at, *_ = message["text"].split()
                    to_agent[int(number)].append(at - float(sent_at))
        to_bot: defaultdict[int, list[float]] = defaultdict(list)
        for at, event in self._webhook.events():
            if event["type"] == "agent_message" and event["payload"]["text"][:1].isdigit():
                number = int(event["payload"]["text"].split()[0])
                to_bot[number].append(at - sent_back[event["payload"]["message_id"].lower()])
        for rate, (first, last) in zip(self.report.rates, self._ranges, strict=True):
            for name, arrived in (("to_agent", to_agent), ("to_bot", to_bot)):
                found = [arrived[number] for number in range(first, last)]
                rate.lost += sum(not each for each in found)
                rate.doubled += sum(len(each) - 1 for each in found if each)
                delays = sorted(1000 * each[0] for each in found if each)
                rate.delays[name] = {"p50": quantile(delays, 0.5), "p99": quantile(delays, 0.99)}
        self.report.out_of_order = self._count_out_of_order()
        self.report.rejected = self._bot.rejected

    def _count_out_of_order(self) -> int:
        """Count the events of a chat that arrived with another sequence than the next one."""
        last: Counter[str] = Counter()
        wrong = 0
        for _, event in self._webhook.events():
            if event["sequence"] is not None:
                wrong += event["sequence"] != last[event["chat_id"]] + 1
                last[event["chat_id"]] = event["sequence"]
        return wrong


if __name__ == "__main__":
    sys.exit(main())
