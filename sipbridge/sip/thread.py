"""The one thread that may touch pjsua2, and the way between it and the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.aio import resolve_futures

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Kind, PJSUA's slot, number, status, text, final: see the struct of that name in native/native.hpp.
CallEvent = tuple[int, int, int, int, str, bool]

# How long the poll sleeps where nothing happens. Commands and finished clips wake it.
POLL_MILLISECONDS = 50
# What the first event of a turn waits for others. At 200 calls a second it saves a fifth of the processor time.
GATHER_MILLISECONDS = 1


class SipThread:
    """Runs PJSIP's poll, gives what happened to `handle`, and does the commands that others send it.

    Other threads reach it by `run` and `post`. What it has to say to the loop it gathers with `tell` and hands over
    once a turn, since every hand-over costs a system call and a wake-up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: Callable[[list[CallEvent]], None]) -> None:
        self._loop = loop
        self._handle = handle
        self._commands: deque[Callable[[], None]] = deque()
        self._news: list[Callable[[], None]] = []
        # When what the loop has yet to run was handed over, oldest first.
        self._handed_over: deque[float] = deque()
        self._stopping = False
        self._thread: threading.Thread | None = None

    async def start(self, open_endpoint: Callable[[], None], close_endpoint: Callable[[], None]) -> None:
        """Start the thread; returns when the endpoint is open, or raises what opening it raised."""
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._main, args=(open_endpoint, close_endpoint, opened), name="sip", daemon=True
        )
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Stop the thread; returns when PJSIP is down."""
        if self._thread is None:
            return
        self.post(self._stop)
        await self._loop.run_in_executor(None, self._thread.join)

    def _stop(self) -> None:
        self._stopping = True

    # ------------------------------------------------------------ from other threads

    def run(self, command: Callable[[], T]) -> asyncio.Future[T]:
        """Run a command on the SIP thread; the future has its result or its exception."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self.post(partial(self._answer, command, answer))
        return answer

    def post(self, command: Callable[[], None]) -> None:
        """Run a command on the SIP thread, and don't wait for it."""
        self._commands.append(command)
        pj.wakeSipThread()

    def _answer(self, command: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        try:
            result = command()
        except Exception as error:  # noqa: BLE001 (it is raised where the command came from)
            self.tell(partial(_fail, answer, error))
            # The error's traceback leads to this frame, and the future to the error: a cycle for the collector.
            del answer
            return
        self.tell(partial(_resolve, answer, result))

    # ------------------------------------------------------------ on the SIP thread

    def loop_lag(self) -> float:
        """Seconds for which the event loop has not come to what was handed over to it."""
        try:
            return time.monotonic() - self._handed_over[0]
        except IndexError:  # it has come to all of it
            return 0.0

    def tell(self, news: Callable[[], None]) -> None:
        """Run this on the event loop, after all that was told before."""
        self._news.append(news)

    def _main(
        self,
        open_endpoint: Callable[[], None],
        close_endpoint: Callable[[], None],
        opened: asyncio.Future[None],
    ) -> None:
        try:
            open_endpoint()
        except Exception as error:  # noqa: BLE001 (it is raised in start)
            close_endpoint()
            resolve_futures([opened], error)
            return
        resolve_futures([opened], None)
        while not self._stopping:
            self._turn()
        close_endpoint()
        self._hand_over()

    def _turn(self) -> None:
        self._handle(pj.pollEvents(POLL_MILLISECONDS, GATHER_MILLISECONDS))
        while self._commands:
            try:
                self._commands.popleft()()
            except Exception:
                logger.exception("a command to the SIP thread failed", extra={"event": "internal_error"})
        self._hand_over()

    def _hand_over(self) -> None:
        if self._news:
            news, self._news = self._news, []
            self._handed_over.append(time.monotonic())
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_over, news)

    # ------------------------------------------------------------ on the event loop

    def _take_over(self, news: list[Callable[[], None]]) -> None:
        _run_all(news)
        self._handed_over.popleft()


def _run_all(news: list[Callable[[], None]]) -> None:
    for item in news:
        try:
            item()
        except Exception:
            logger.exception("news from the SIP thread failed", extra={"event": "internal_error"})


def _resolve(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
