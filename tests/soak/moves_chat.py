"""`make moves-chat`: harm one of two nodes while chats relay both ways, again and again, and check every message.

Bot and CXone reach the nodes through one address, as through a load balancer. In turn a node is killed and replaced,
killed and started again at once, stopped (SIGSTOP) until the other one has its chats, or drained: each time its chats
move while messages are on their way.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.harness.programs.bridge import Bridge, running_bridge
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import simulator
from tests.harness.settings import on_redis
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for
from tests.harness.web.front_door import FrontDoor
from tests.harness.web.http import fetch

from .chat_bot import BotError
from .chat_channels import KINDS, prepare
from .chat_checks import ChatError
from .chat_run import CLIENT, PROJECT, ChatRun, Report, Tally, explain, kinds_of

CHATS = 40
LEASE_SECONDS = 1
MOVE_SECONDS = 60.0  # at most, on a busy machine
STREAM_SECONDS = 1.0  # a bot that reads a chat at the wrong node
LONGEST_RUN_SECONDS = 3.0  # between two harms
HARMS = ("killed", "restarted", "stopped", "drained")


def main(arguments: Sequence[str] | None = None) -> int:
    """Harm the nodes this many times; exit with 1 at the first message or chat that is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.moves_chat", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--chats", type=int, default=CHATS, help="number of chats at any moment")
    parser.add_argument("--channels", type=kinds_of, default=KINDS, help="kinds of channels, like dfo,byoc")
    parser.add_argument("--harms", type=lambda value: value.split(","), default=HARMS, help=",".join(HARMS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    allow_many_sockets()
    write = sys.stdout.write
    with tempfile.TemporaryDirectory(prefix="sipbridge-moves-") as name:
        folder = Path(name)
        try:
            tally = run_moves(
                folder, options.rounds, options.chats, options.seed, write, options.channels, options.harms
            )
        except (BotError, ChatError, TimeoutError) as error:
            write(f"FAILED: {error}\n" + "".join(explain(error, folder)))
            return 1
    write(f"{tally}\n")
    return 0


def run_moves(
    folder: Path,
    rounds: int,
    chats: int,
    seed: int,
    report: Report,
    kinds: Sequence[str] = KINDS,
    harms: Sequence[str] = HARMS,
) -> Tally:
    """Run this many rounds. Raises `ChatError`, `BotError`, or `TimeoutError` if chats do not move."""
    with simulator(folder) as cxone, redis_server(folder) as redis, ExitStack() as stack:
        run = ChatRun(cxone, seed, kinds)
        return asyncio.run(_run(folder, run, redis, stack, rounds, chats, harms, report))


async def _run(
    folder: Path,
    run: ChatRun,
    redis: RedisServer,
    stack: ExitStack,
    rounds: int,
    chats: int,
    harms: Sequence[str],
    report: Report,
) -> Tally:
    async with run.bot as bot, FrontDoor(run.chance) as door:
        bot.url = f"http://{door.address}/v1/{CLIENT}/{PROJECT}"
        bot.stream_seconds = STREAM_SECONDS
        prepare(run.cxone.desk, bot.url)
        nodes = _Nodes(folder, run, redis, door, stack)
        await nodes.start("one")
        await nodes.start("two")
        await run.talk(chats, _harm_repeatedly(run, nodes, rounds, harms, report))
        run.check()
        await asyncio.to_thread(nodes.check_that_nothing_is_left)
    return run.tally


async def _harm_repeatedly(run: ChatRun, nodes: _Nodes, rounds: int, harms: Sequence[str], report: Report) -> None:
    for number in range(rounds):
        harm = harms[number % len(harms)]
        await run.disturb()
        # The moment itself is the test: there is no event to wait for.
        await asyncio.sleep(run.chance.uniform(0.0, LONGEST_RUN_SECONDS))
        began = time.monotonic()
        await nodes.harm(harm, run.chance.choice(list(nodes.running)))
        run.tally.harms[harm] += 1
        run.check()
        report(f"{number + 1}: {harm} in {time.monotonic() - began:.1f} s; {run.tally}\n")


class _Nodes:
    """The nodes by their names, behind the front door while they run."""

    def __init__(self, folder: Path, run: ChatRun, redis: RedisServer, door: FrontDoor, stack: ExitStack) -> None:
        self.running: dict[str, Bridge] = {}
        self._folder = folder
        self._run = run
        self._redis = redis
        self._door = door
        self._stack = stack
        self._starts = 0

    async def start(self, name: str) -> None:
        """Start a node; return once it is behind the front door."""
        self._starts += 1
        settings = self._run.settings(self._folder)
        shared = on_redis(self._redis.url, name, lease_seconds=LEASE_SECONDS)
        http = settings["http"] | shared["http"] | {"public_url": f"http://{self._door.address}"}
        settings |= {**shared, "http": http}
        settings["store"]["journal"] = str(self._folder / f"{name}.journal")
        file = self._folder / f"{name}-{self._starts}.yaml"
        file.write_text(yaml.safe_dump(settings))
        running = running_bridge(file, file.with_suffix(".log"), {"SIPBRIDGE_LOG_LEVEL": "DEBUG"})
        node = await asyncio.to_thread(self._stack.enter_context, running)
        self.running[name] = node
        await self._ready(node)

    async def harm(self, harm: str, name: str) -> None:
        """Do this to a node; return once two nodes are behind the front door again."""
        node = self.running[name]
        if harm == "drained":
            node.program.terminate()
            self._door.remove(_address(node))
            await asyncio.to_thread(node.program.wait, MOVE_SECONDS)
        else:
            os.kill(node.program.pid, signal.SIGSTOP if harm == "stopped" else signal.SIGKILL)
            self._door.remove(_address(node))
        if harm != "restarted":
            await self._until(lambda: self._count() == 1, "one node in Redis")
        if harm == "stopped":
            os.kill(node.program.pid, signal.SIGCONT)
            await self._ready(node)
        else:
            await self.start(name)
        await self._until(lambda: self._count() == len(self.running), "all nodes in Redis")

    def check_that_nothing_is_left(self) -> None:
        """Check that no chat is in progress or waits, and no connection to CXone is open."""
        for node in self.running.values():
            node.wait_for_metric(0, "sipbridge_chats_active")
        assert self._redis.run("KEYS", "sipbridge:chats-open:*") == []
        assert self._redis.run("KEYS", "sipbridge:chats-waiting") == []
        wait_for(
            lambda: not self._redis.run("KEYS", "sipbridge:chats-undelivered:*"), "the last events to be delivered"
        )
        wait_for(lambda: not self._run.cxone.desk.connections(), "the last connection to the chat gateway to close")

    async def _ready(self, node: Bridge) -> None:
        await self._until(lambda: fetch(f"{node.http}/readyz").status == 200, "readiness")
        self._door.add(_address(node))

    def _count(self) -> int:
        count: int = self._redis.run("HLEN", "sipbridge:nodes")
        return count

    @staticmethod
    async def _until(holds: Callable[[], bool], what: str) -> None:
        await asyncio.to_thread(wait_for, holds, what, MOVE_SECONDS)


def _address(node: Bridge) -> str:
    return node.http.removeprefix("http://")


if __name__ == "__main__":
    sys.exit(main())
