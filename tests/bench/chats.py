"""`make bench-chat`: what a relayed message costs, what a held chat takes, what the bridge adds to the delay, and
whether calls beside the messages suffer.

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
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import bridge_settings, chat_project_settings, client_settings, key
from tests.harness.usage import allow_many_sockets

from .chat_load import Bot, Webhook
from .chats_arrivals import Arrivals, count_out_of_order
from .chats_calls import CallsBeside
from .chats_messages import Messages
from .chats_report import LIMITS_RATE, Report, print_report
from .media import SIP_SETTINGS
from .media_level import AGENTS_FIRST_STREAM, NUMBER
from .media_load import Load, media_load

CLIENT, PROJECT = "bench", "chat"
CHANNEL = "chat_11111111-1111-4111-8111-111111111111"


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
    parser.add_argument("--calls", type=int, default=100, help="number of calls beside the messages; 0 for none")
    parser.add_argument("--output", type=Path, default=Path("build/bench-chat.json"), help="the file for all figures")
    return parser.parse_args(arguments)


async def _measure(folder: Path, options: argparse.Namespace) -> Report:
    """Run the programs and the phases: hold the chats, send messages at each rate, and then beside calls."""
    report = Report(cores=os.cpu_count() or 0, chats=options.chats, seconds=options.seconds)
    async with Webhook() as webhook:
        with ExitStack() as stack:
            cxone = stack.enter_context(simulator(folder))
            agents = None
            if options.calls:
                agents = stack.enter_context(media_load("websocket", folder, "agents", AGENTS_FIRST_STREAM))
            program = stack.enter_context(bridge(_settings(folder, cxone, webhook, agents), folder))
            cxone.desk.automate(channel=CHANNEL, accept_after_seconds=0, reply="{text}")
            async with Bot(f"{program.http}/v1/{CLIENT}/{PROJECT}", key(PROJECT)) as bot:
                pids = [program.program.pid, cxone.program.pid, os.getpid()]
                messages = Messages(pids, webhook, bot, options.chats)
                await messages.hold(report)
                report.rates = [await messages.relay(rate, options.seconds) for rate in options.rates]
                if agents:
                    calls = CallsBeside(folder, program, agents, pids, options.calls, options.seconds, options.seconds)
                    report.calls = await calls.measure(partial(messages.relay, LIMITS_RATE, options.seconds))
                report.rejected = bot.rejected
            arrivals = Arrivals.of(await asyncio.to_thread(_messages_at_desk, cxone), webhook.events())
        messages.judge(arrivals)
        report.out_of_order = count_out_of_order(webhook.events())
    return report


def _settings(folder: Path, cxone: Simulator, webhook: Webhook, agents: Load | None) -> dict[str, Any]:
    """Return one configuration for both halves: chats, and calls if there are agents for them."""
    events = {"url": webhook.url, "secret": "secret-of-the-benchmark"}
    chat = chat_project_settings(PROJECT, cxone.url, {"web": CHANNEL}, inactivity_seconds=None, webhook=events)
    projects = {PROJECT: chat}
    if agents:
        projects |= CallsBeside.project(agents)
    return bridge_settings(folder, {CLIENT: client_settings(NUMBER, cxone.url, projects)}, sip=SIP_SETTINGS)


def _messages_at_desk(cxone: Simulator) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of each conversation."""
    chats = cxone.desk.chats(seconds=0)
    return {chat["id"]: cxone.desk.messages(chat["id"], seconds=0) for chat in chats}


if __name__ == "__main__":
    sys.exit(main())
