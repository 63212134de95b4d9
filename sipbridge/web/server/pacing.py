"""The pace of pages: one piece of their work per turn of the event loop, which carries audio too."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web


class Pacer:
    """Lets pieces of work run one per turn of the event loop, in order. Belongs to one event loop.

    Between two turns the loop serves its sockets and timers, so audio waits for one piece at most, however many are due
    in the same moment. A semaphore would not do: a piece that awaits nothing releases it before the next one asks, and
    all of them run in one turn.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    async def next_turn(self) -> None:
        """Return in a turn of the loop that no other piece has. The piece is what runs until the next `await`."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._give_turn, loop)
        await turn

    def _give_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the piece that has waited longest run in the next turn. One that was cancelled takes none."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                # Called in the next turn, also if nothing else waits now: what asks until then gets the one after it.
                loop.call_soon(self._give_turn, loop)
                return
        self._is_scheduled = False


PACER = web.AppKey("pacer", Pacer)
