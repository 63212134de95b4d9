"""The one thread that may call PJSIP, and the way between it and the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from sipbridge import thread_priority
from sipbridge.aio import resolve_futures
from sipbridge.sip.pjsip_functions import ThreadFunctions

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long the poll sleeps if nothing happens. Commands and finished clips wake it.
POLL_MILLISECONDS = 50
# The shortest time between a turn that served several calls and the next one, so that a busy trunk shares turns.
GATHER_MILLISECONDS = 1


class CallEvent(NamedTuple):
    """An event of PJSIP; `EventKind` in native/native.hpp says what the fields hold for each kind."""

    kind: int
    slot: int
    number: int
    status: int
    text: str
    final: bool


class SipThread:
    """Runs PJSIP's poll, passes its events to `handle`, and executes the commands of other threads.

    Other threads use `run` and `post`. Callbacks for the event loop are collected by `notify_loop` and handed over once
    per turn, because every hand-over costs a system call and a wake-up.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, handle: Callable[[list[CallEvent]], None], native: ThreadFunctions
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._native = native
        self._commands: deque[Callable[[], None]] = deque()
        self._callbacks: list[Callable[[], None]] = []
        # The times at which the batches that the loop has not run yet were handed over, oldest first.
        self._handed_over: deque[float] = deque()
        # True if the last turn had events of several calls, or several commands.
        self._shared = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    async def start(self, open_endpoint: Callable[[], None], close_endpoint: Callable[[], None]) -> None:
        """Start the thread. Return when the endpoint is open, or raise what `open_endpoint` raised."""
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._main, args=(open_endpoint, close_endpoint, opened), name="sip", daemon=True
        )
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Stop the thread. Return when PJSIP is down."""
        if self._thread is None:
            return
        self.post(self._stop)
        await self._loop.run_in_executor(None, self._thread.join)

    def _stop(self) -> None:
        self._stopping = True

    # ------------------------------------------------------------ from other threads

    def run(self, command: Callable[[], T]) -> asyncio.Future[T]:
        """Execute a command on the SIP thread. The future gets its result or its exception."""
        done: asyncio.Future[T] = self._loop.create_future()
        self.post(partial(self._run, command, done))
        return done

    def post(self, command: Callable[[], None]) -> None:
        """Execute a command on the SIP thread, without waiting for it."""
        self._commands.append(command)
        self._native.wakeSipThread()

    def _run(self, command: Callable[[], T], done: asyncio.Future[T]) -> None:
        try:
            result = command()
        except Exception as error:  # noqa: BLE001 (the future raises it)
            self.notify_loop(partial(_fail, done, error))
            # The traceback of the error refers to this frame, and the future to the error: a reference cycle.
            del done
            return
        self.notify_loop(partial(_resolve, done, result))

    # ------------------------------------------------------------ on the SIP thread

    def loop_lag(self) -> float:
        """Return for how many seconds the oldest batch of callbacks has waited for the event loop."""
        try:
            return time.monotonic() - self._handed_over[0]
        except IndexError:  # none waits
            return 0.0

    def run_this_turn(self, command: Callable[[], None]) -> None:
        """Execute a command after the events of this turn have been handled."""
        self._commands.append(command)

    def handle_events(self) -> None:
        """Handle what the commands of this turn have led to so far, before one of them makes another call.

        PJSUA may give it the slot of a call that they have ended, whose events must not be taken for its own.
        """
        self._handle([CallEvent._make(event) for event in self._native.takeEvents()])

    def notify_loop(self, callback: Callable[[], None]) -> None:
        """Run a callback on the event loop, after all earlier ones."""
        self._callbacks.append(callback)

    def _main(
        self,
        open_endpoint: Callable[[], None],
        close_endpoint: Callable[[], None],
        opened: asyncio.Future[None],
    ) -> None:
        thread_priority.ask_for_real_time()
        try:
            open_endpoint()
        except Exception as error:  # noqa: BLE001 (start raises it)
            close_endpoint()
            resolve_futures([opened], error)
            return
        resolve_futures([opened], None)
        while not self._stopping:
            self._turn()
        close_endpoint()
        self._hand_over()

    def _turn(self) -> None:
        gather = GATHER_MILLISECONDS if self._shared else 0
        events = [CallEvent._make(event) for event in self._native.pollEvents(POLL_MILLISECONDS, gather)]
        self._handle(events)
        commands = 0
        while self._commands:
            commands += 1
            try:
                self._commands.popleft()()
            except Exception:
                logger.exception("a command to the SIP thread failed", extra={"event": "internal_error"})
        self._hand_over()
        self._shared = commands > 1 or len({event.slot for event in events}) > 1

    def _hand_over(self) -> None:
        if self._callbacks:
            callbacks, self._callbacks = self._callbacks, []
            self._handed_over.append(time.monotonic())
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._run_callbacks, callbacks)

    # ------------------------------------------------------------ on the event loop

    def _run_callbacks(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception("a callback of the SIP thread failed", extra={"event": "internal_error"})
        self._handed_over.popleft()


def _resolve(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
