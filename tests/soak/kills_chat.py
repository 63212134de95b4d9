"""`make kills-chat`: kill the bridge while chats relay both ways, again and again, and check every message."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import key
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for

from .chat_bot import BotError
from .chat_channels import KINDS, prepare
from .chat_checks import ChatError
from .chat_run import CLIENT, PROJECT, ChatRun, Report, Tally, explain, kinds_of
from .kills import KilledBridge

CHATS = 50
LONGEST_RUN_SECONDS = 2.0  # of the bridge, between its start and a kill
REPORT_EVERY = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the bridge this many times; exit with 1 at the first message or chat that is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills_chat", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--chats", type=int, default=CHATS, help="number of chats at any moment")
    parser.add_argument("--channels", type=kinds_of, default=KINDS, help="kinds of channels, like dfo,byoc")
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
            write(f"FAILED: {error}\n" + "".join(explain(error, Path(name))))
            return 1
    write(f"{tally}\n")
    return 0


def run_kills(folder: Path, kills: int, chats: int, seed: int, report: Report, kinds: Sequence[str] = KINDS) -> Tally:
    """Run this many rounds. Raises `ChatError` or `BotError`."""
    with simulator(folder) as cxone:
        return asyncio.run(_run(folder, ChatRun(cxone, seed, kinds), kills, chats, report))


async def _run(folder: Path, run: ChatRun, kills: int, chats: int, report: Report) -> Tally:
    async with run.bot as bot:
        with KilledBridge(folder, _write_config(folder, run)) as target:
            await asyncio.to_thread(target.start)
            bot.url = target.bridge.project(CLIENT, PROJECT, key(PROJECT)).url
            prepare(run.cxone.desk, bot.url)
            await run.talk(chats, _kill_repeatedly(run, target, kills, report))
            run.check()
            await asyncio.to_thread(_check_that_nothing_is_left, target, run.cxone)
    return run.tally


async def _kill_repeatedly(run: ChatRun, target: KilledBridge, kills: int, report: Report) -> None:
    for number in range(1, kills + 1):
        await run.disturb()
        # The moment itself is the test: there is no event to wait for.
        await asyncio.sleep(run.chance.uniform(0.0, LONGEST_RUN_SECONDS))
        await asyncio.to_thread(target.kill)
        await asyncio.to_thread(target.start)
        run.tally.harms["kills"] += 1
        run.check()
        if number % REPORT_EVERY == 0:
            report(f"{run.tally}\n")


def _write_config(folder: Path, run: ChatRun) -> Path:
    settings = run.settings(folder)
    url = f"127.0.0.1:{reserved_port()}"  # the same after each start
    settings["http"] |= {"listen": url, "public_url": f"http://{url}"}
    file = folder / "target.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def _check_that_nothing_is_left(target: KilledBridge, cxone: Simulator) -> None:
    target.bridge.wait_for_metric(0, "sipbridge_chats_active")
    wait_for(lambda: not cxone.desk.connections(), "the last connection to the chat gateway to close")


if __name__ == "__main__":
    sys.exit(main())
