"""The clients of the HTTP API: the bot with its chats, and the readers of the events of calls.

They reach the nodes through one address, which knows the nodes that are up, as a load balancer does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from http.client import HTTPException
from types import TracebackType
from typing import Self

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, key
from tests.harness.waiting import wait_for
from tests.harness.web.event_stream import EventStream
from tests.harness.web.front_door import FrontDoor
from tests.harness.worker import Worker
from tests.soak.chat_channels import KINDS, prepare
from tests.soak.chat_run import CLIENT, LAST_SECONDS, PROJECT, ChatRun

STREAM_SECONDS = 5.0  # after which the bot reads a chat at any node again
IDLE_SECONDS = 1.0
MANY = 1000  # calls of CXone to a box


class Chats:
    """The bot, its chats and the door to the nodes, on a thread of their own. `survived` counts the faults so far.

    The bot serves its webhook from the start; its chats begin with `begin`.
    """

    def __init__(self, cxone: Simulator, seed: int, pause_seconds: float) -> None:
        self.survived: Counter[str] = Counter()
        self._run = ChatRun(cxone, seed, KINDS, pause_seconds=pause_seconds)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="chats", daemon=True)
        self._ending = asyncio.Event()
        self._door: FrontDoor | None = None
        self._talking: asyncio.Task[None] | None = None

    @property
    def seen(self) -> str:
        """The counts of the chats that are over."""
        self._run.tally.harms = self.survived
        return str(self._run.tally)

    @property
    def faults(self) -> list[str]:
        """The chats that were not as they should be, each with its fault."""
        return self._run.tally.faults

    @property
    def address(self) -> str:
        """The `HOST:PORT` in front of the nodes."""
        return self._open_door.address

    def project(self) -> Settings:
        """Return the settings of the project of the chats."""
        return self._run.project()

    def begin(self, chats: int) -> None:
        """Begin so many chats, each of which is followed by another when it is over."""
        desk = self._run.cxone.desk
        prepare(desk, self._run.bot.url)
        # A message that CXone gives up is read from the contact's list later, so it would be after the next one.
        desk.change_byoc(DEMO_CHANNEL.id, repeats=MANY)
        self._talking = asyncio.run_coroutine_threadsafe(self._begin(chats), self._loop).result(10)

    def end(self) -> None:
        """Begin no more chats; return once the last one is over."""
        self._loop.call_soon_threadsafe(self._ending.set)
        if self._talking is not None:
            # What follows is not about one chat, but must not cost the counts of the calls.
            with suppress(TimeoutError):
                wait_for(self._talking.done, "the last chat", LAST_SECONDS + 30)
            if not self._talking.done():
                self.faults.append("the last chat does not end")
            elif error := self._talking.exception():
                self.faults.append(f"the chats came to an end: {error!r}")

    def node_is_up(self, address: str) -> None:
        """Let requests go to the node with this `HOST:PORT`."""
        self._loop.call_soon_threadsafe(self._open_door.add, address)

    def node_is_down(self, address: str) -> None:
        """Let no more requests go to it, and end its connections."""
        self._loop.call_soon_threadsafe(self._open_door.remove, address)

    @property
    def _open_door(self) -> FrontDoor:
        if self._door is None:
            raise RuntimeError("the door is closed")
        return self._door

    async def _begin(self, chats: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._run.talk(chats, self._until_the_end()))

    async def _until_the_end(self) -> None:
        await self._ending.wait()

    def _serve(self) -> None:
        self._loop.run_until_complete(self._open())
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _open(self) -> None:
        bot = await self._run.bot.__aenter__()
        door = await FrontDoor(self._run.chance).__aenter__()
        bot.url = f"http://{door.address}/v1/{CLIENT}/{PROJECT}"
        bot.stream_seconds = STREAM_SECONDS
        self._door = door

    async def _close(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.wait([self._talking])
        await self._open_door.__aexit__(None, None, None)
        await self._run.bot.__aexit__(None, None, None)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self._door, "the door")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class EventReader(Worker):
    """A reader of the events of a project, which resumes on any node. `seen` counts each by call and name."""

    def __init__(self, address: str, client: str, project: str) -> None:
        super().__init__(f"events of {project}", self._read, lambda: 0.1)
        self._url = f"http://{address}/v1/{client}/{project}/events"
        self._key = key(project)
        self._last_id = ""
        self.seen: Counter[tuple[str, str]] = Counter()
        self.gaps = 0

    def _read(self) -> None:
        with suppress(OSError, HTTPException), EventStream(self._url, self._key, self._last_id) as stream:
            while not self._stopped.is_set() and not stream.is_over:
                for event in stream.until("call.ended", IDLE_SECONDS):
                    self._take(event.name, event.data)
                self._last_id = stream.last_id

    def _take(self, name: str, data: dict[str, str] | None) -> None:
        if data is None:
            self.gaps += 1
        else:
            self.seen[data["id"], name] += 1
